"""Monitor: one run, live or past, with its whole history. Any number of viewers at once."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from tui_ft.runs import control
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.reader import RunReader
from tui_ft.runs.registry import RunSummary, summary_of
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.monitor import text as run_text
from tui_ft.screens.monitor.charts import SMALL_CHARTS, RunCharts
from tui_ft.screens.run_actions import KILL, STOP, Act, RunAction, ask, perform_on_run, resume
from tui_ft.screens.top_line import TopLine
from tui_ft.widgets.chart import LineChart
from tui_ft.widgets.gpu_panel import HardwarePanel
from tui_ft.widgets.log_view import LogView

_POLL_SECONDS: Final = 0.5
_CHARTS_EVERY: Final = 2
_NEARLY_ALL: Final = 0.95
Pane = Literal["loss", "small", "side", "samples", "log"]
_FOCUS: Final[dict[Pane, str]] = {
    "loss": "#loss",
    "small": f"#{SMALL_CHARTS[0].id}",
    "side": "#side",
    "samples": "#samples",
    "log": "#log",
}


class MonitorScreen(FtuiScreen):
    """The chart is big, the card beside it, and what matters now on top.

    Where there is no room for all panes, one is shown, and `v` goes to the next.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "Stop", id="monitor.stop", tooltip="Save a checkpoint and stop"),
        Binding("w", "checkpoint", "Checkpoint", id="monitor.checkpoint", tooltip="Write one now"),
        Binding("K", "kill", "Kill", show=False, id="monitor.kill", tooltip="End it at once"),
        Binding("r", "resume", "Resume", id="monitor.resume", tooltip="Go on from the checkpoint"),
        Binding("v", "pane", "View", id="monitor.view", tooltip="Next pane, where one fits"),
        Binding("f", "follow", "Follow", id="monitor.follow", tooltip="Show all, up to the newest"),
        Binding(
            "d,escape,q", "detach", "Detach", key_display="d", id="monitor.detach",
            tooltip="Back to Home; the run goes on",
        ),
        HELP,
    ]  # fmt: skip

    class Read(Message):
        """The run's events were read on."""

        def __init__(
            self, summary: RunSummary, lines: list[str], *, behind: bool, share: float
        ) -> None:
            self.summary, self.lines, self.behind, self.share = summary, lines, behind, share
            super().__init__()

    class Gone(Message):
        """Somebody deleted the run."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder
        self._reader = RunReader(folder)
        self._charts = RunCharts(self._reader.history)
        self._summary: RunSummary | None = None
        self._log_lines = 0
        self.looks = 0  # how often the run was read and shown
        self._pane: Pane = "loss"
        self._words: dict[str, Content] = {}

    def compose_content(self) -> ComposeResult:
        """Lay out headline, notice, and the panes."""
        yield Static(id="headline")
        yield Static(id="notice")
        with Grid(id="panes"):
            yield LineChart("loss", x_kinds=("step", "tokens", "time"), id="loss")
            with VerticalScroll(id="side", can_focus=True) as side:
                side.border_title = "Hardware"
                yield HardwarePanel(detailed=True, id="hardware")
                yield Static(id="facts")
            with Horizontal(id="small"):
                for chart in SMALL_CHARTS:
                    yield LineChart(chart.title, id=chart.id, log=False, smoothing=0)
            with VerticalScroll(id="samples", can_focus=True) as samples:
                samples.border_title = "Samples"
                yield Static(id="scores")
                yield Static(id="answers")
            with Vertical(id="log-box"):
                yield LogView(id="log")

    def on_mount(self) -> None:
        """Begin to read, and read on twice a second."""
        self.query_one("#log", LogView).border_title = "Log"
        self.query_one("#loss").focus()
        self._show_pane()
        self._look()
        self.set_interval(_POLL_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Catch up when one comes back."""
        self._look()

    def _look(self) -> None:
        if self.is_current:
            self.read_in_thread(self._read)

    def _read(self) -> None:
        """Read what is new; events are folded here, away from the screen's thread."""
        if not self.folder.spec_file.exists():
            self.post_message(self.Gone())
            return
        new = self._reader.poll()
        history = self._reader.history
        fresh = history.log_lines - self._log_lines
        kept = list(history.log)[-fresh:] if fresh else []
        self._log_lines = history.log_lines
        lines = [f"{run_text.clock_time(t)} {line}" for t, line in kept]
        if not get_current_worker().is_cancelled:
            summary = summary_of(self.folder)
            share = self._reader.share_read()
            self.post_message(self.Read(summary, lines, behind=bool(new), share=share))

    def on_monitor_screen_gone(self) -> None:
        """Go back: there is nothing to see any more."""
        self.notify(f"{self.folder.id} was deleted", severity="warning", markup=False)
        self.shell.leave_run()

    def on_monitor_screen_read(self, message: Read) -> None:
        """Show what was read; charts at most once a second, hidden panes not at all."""
        self.reading = False
        before, self._summary = self._summary, message.summary
        self.looks += 1
        self._show_words(message)
        self.query_one("#log", LogView).append_lines(message.lines)
        if self.looks % _CHARTS_EVERY == 1:
            self._show_charts()
            self._show_side()
        if before is None or before.state != message.summary.state:
            self.refresh_bindings()  # makes the footer anew
        if message.behind:
            self._look()  # a long history comes in pieces, each of which is seen

    def _show_words(self, message: Read) -> None:
        summary, history, now = message.summary, self._reader.history, self.shell.clock()
        width = max(1, self.size.width - 2)
        self._update("#headline", run_text.headline(summary, history, now, width))
        if message.behind and message.share < _NEARLY_ALL:
            notice = run_text.loading(message.share)
        else:
            notice = run_text.notice(summary, history, now)
        self._update("#notice", notice)
        self.query_one("#notice").display = bool(notice.plain)

    def _show_charts(self) -> None:
        live = self._summary is None or self._summary.is_live
        for chart in self.query(LineChart):
            chart.empty = "waits for the first step" if live else "no step was done"
        loss = self.query_one("#loss", LineChart)
        if loss.display:
            self._charts.update_loss(loss)
        if self.query_one("#small").display:
            for what in SMALL_CHARTS:
                self._charts.update_small(self.query_one(f"#{what.id}", LineChart), what)

    def _show_side(self) -> None:
        history = self._reader.history
        host = history.attempt.host if history.attempt else ""
        snapshot = run_text.run_snapshot(history, host)
        self.query_one("#hardware", HardwarePanel).update(snapshot)
        self._update("#facts", run_text.facts_content(history, self._place()))
        self._update("#scores", run_text.scores_content(history))
        self._update("#answers", run_text.samples_content(history.samples))
        self.query_one(TopLine).show(self.shell.hardware.latest(), self.shell.live_runs())

    def _place(self) -> str:
        return self._summary.place if self._summary else ""

    def _update(self, selector: str, content: Content) -> None:
        """Show ``content`` where ``selector`` says, and redraw nothing that is as it was."""
        if self._words.get(selector) != content:
            self._words[selector] = content
            self.query_one(selector, Static).update(content)

    def on_line_chart_xaxis_requested(self, message: LineChart.XAxisRequested) -> None:
        """Plot over steps, tokens or time, as asked."""
        self._charts.x_kind = message.kind
        self._show_charts()

    def on_resize(self) -> None:
        """Fold panes away, or bring them back."""
        self.call_after_refresh(self._show_pane)

    def _choices(self) -> tuple[Pane, ...]:
        """Return the panes that take turns where there is no room for all."""
        wide = self.has_class("-wide") or self.has_class("-vast")
        if self.has_class("-tall"):
            return () if wide else ("log", "samples", "side")  # below the charts
        return ("loss", "small", "samples", "log") if wide else tuple(_FOCUS)

    def action_pane(self) -> None:
        """Show the next of the panes that take turns."""
        choices = self._choices()
        if not choices:
            return
        now = choices.index(self._pane) if self._pane in choices else 0
        self._pane = choices[(now + 1) % len(choices)]
        self._show_pane()
        self.query_one(_FOCUS[self._pane]).focus()
        self._show_charts()

    def _show_pane(self) -> None:
        """Set the class that tells the style sheet which pane's turn it is."""
        choices = self._choices()
        shown = self._pane if not choices or self._pane in choices else choices[0]
        for pane in _FOCUS:
            self.set_class(pane == shown, f"pane-{pane}")
        self.refresh_bindings()
        self.call_after_refresh(self._keep_focus, shown)

    def _keep_focus(self, shown: Pane) -> None:
        """Focus the pane in sight where the focused one was folded away."""
        if self.focused is None:
            self.query_one(_FOCUS[shown]).focus()

    def action_follow(self) -> None:
        """Show everything up to the newest point, in all charts and in the log."""
        for chart in self.query(LineChart):
            chart.action_reset()
        self.query_one(LogView).action_follow()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done in the run's state."""
        live = self._summary is None or self._summary.is_live
        if action == "kill" and self._summary is not None and self._summary.orphan:
            return True
        if action in ("stop", "checkpoint", "kill"):
            return live
        if action == "resume":
            return not live and self._summary is not None and self._summary.state != "finished"
        return bool(self._choices()) if action == "pane" else True

    def action_detach(self) -> None:
        """Leave; the run goes on."""
        self.shell.leave_run()

    def action_stop(self) -> None:
        """Save a checkpoint and stop."""
        self._ask(STOP)

    def action_kill(self) -> None:
        """End at once."""
        self._ask(KILL)

    def action_checkpoint(self) -> None:
        """Save a checkpoint; the run goes on."""
        self._do(control.request_checkpoint, "a checkpoint is saved after this step")

    def action_resume(self) -> None:
        """Go on from the newest checkpoint."""
        resume(self, self.folder.id, then=self._look)

    def _ask(self, action: RunAction) -> None:
        done = f"{action.verb.lower()} asked for"
        ask(self, action, [self.folder.id], lambda: self._do(action.act, done))

    def _do(self, act: Act, done: str) -> None:
        perform_on_run(self, act, self.folder.id, done=done, then=self._look)
