"""Home: the machine now, and every run, live and past."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from tui_ft import paths, text
from tui_ft.chains.glance import ChainGlance, glances
from tui_ft.runs.folder import unreadable
from tui_ft.runs.registry import RunSummary, list_runs, place_in_list
from tui_ft.screens import chain_actions
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.home.run_row import chain_detail, detail_of
from tui_ft.screens.home.runs_table import Row, RunsTable, row_key
from tui_ft.screens.run_actions import DELETE, KILL, STOP, RunAction, ask, perform_on_run, resume
from tui_ft.screens.top_line import TopLine
from tui_ft.widgets.gpu_panel import HardwarePanel
from tui_ft.widgets.signs import sign
from tui_ft.widgets.typed_line import TypedLine

_POLL_SECONDS = 1.0
_NAMES_WIDTH = 36
_HIDDEN_EVERY = 5  # behind another screen, whose first line counts the runs
_EMPTY = (
    "No runs yet.\n\n"
    "n            start one from a preset or a YAML file\n"
    "ftui demo    in a shell: a small model learns to write JSON, in minutes, GPU or not"
)


def _left_out(closed: list[str]) -> Content:
    """Return which runs' folders are there and not listed, in words; nothing where none are."""
    names = text.one_line(", ".join(sorted(closed)), _NAMES_WIDTH)
    said = f"{sign('warning').text()} closed to you, so not listed: {names}"
    return Content(said if closed else "")


class HomeScreen(FtuiScreen):
    """Hardware above, runs below, and of the run selected the reason it ended or waits."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", id="home.new", tooltip="Start a run"),
        Binding(
            "N", "new_chain", "New chain", show=False, id="home.new_chain",
            tooltip="Start the chain of runs in a YAML file",
        ),
        Binding("s", "stop", "Stop", id="home.stop", tooltip="Save a checkpoint and stop"),
        Binding("r", "resume", "Resume", id="home.resume", tooltip="Go on from the checkpoint"),
        Binding("K", "kill", "Kill", show=False, id="home.kill", tooltip="End it at once"),
        Binding("x", "delete", "Delete", id="home.delete", tooltip="Remove the run's folder"),
        Binding(
            "X", "delete_all", "Delete all", show=False, id="home.delete_all",
            tooltip="Remove a chain with all its runs",
        ),
        Binding("space", "mark", "Mark", show=False, id="home.mark", tooltip="Act on several runs"),
        Binding(
            "slash", "filter", "Filter", key_display="/", id="home.filter",
            tooltip="Only runs of that name or state",
        ),
        Binding("escape", "back", "Back", show=False, id="home.back", tooltip="Clear the filter"),
        Binding("q", "app.quit", "Quit", id="home.quit", tooltip="Leave; runs go on"),
        HELP,
    ]  # fmt: skip

    class RunsRead(Message):
        """The runs, and the chains of which some are, were read anew."""

        def __init__(
            self, runs: list[RunSummary], chains: list[ChainGlance], closed: list[str]
        ) -> None:
            self.runs, self.chains, self.closed = runs, chains, closed
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunSummary] = []
        self.chains: list[ChainGlance] = []
        self._marked: set[str] = set()
        self._looks = 0
        self._filter = ""

    def compose_content(self) -> ComposeResult:
        """Lay out hardware, runs, detail."""
        with Vertical(id="hardware-box") as box:
            box.border_title = "Hardware"
            yield HardwarePanel(id="hardware")
        with Vertical(id="runs-box") as box:
            box.border_title = "Runs"
            yield Static(_EMPTY, id="empty")
            yield RunsTable(id="runs")
            yield TypedLine(placeholder="part of a name or state", id="filter")
        yield Static(id="detail")

    def on_mount(self) -> None:
        """Begin to look, and look again every second."""
        table = self.query_one(RunsTable)
        for later in ("#filter", "#empty"):
            self.query_one(later).display = False
        table.display = False
        table.focus()
        self._look()
        self.set_interval(_POLL_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Look at once when one comes back."""
        self._look()

    def _look(self) -> None:
        """Read the runs every second, less often while something else is shown."""
        self._looks += 1
        if self.is_current:
            self._show_hardware()
        elif self._looks % _HIDDEN_EVERY:
            return
        self.read_in_thread(self._read)

    def _read(self) -> None:
        runs = list_runs()
        chains = glances(runs)
        if not get_current_worker().is_cancelled:
            self.post_message(self.RunsRead(runs, chains, unreadable(paths.runs_dir())))

    def _show_hardware(self) -> None:
        hardware = self.shell.hardware
        snapshot = hardware.latest()
        host = snapshot.host.hostname if snapshot else ""
        here = [run for run in self.runs if run.is_live and run.host == host]
        labels = {gpu: run.id for run in here for gpu in run.gpus}
        panel = self.query_one("#hardware", HardwarePanel)
        panel.update(snapshot, labels=labels, stale_for=hardware.stale_for())
        self.query_one(TopLine).show(snapshot, self.runs)

    def on_home_screen_runs_read(self, message: RunsRead) -> None:
        """Show what was read; only what changed is drawn again."""
        self.reading = False
        self.runs, self.chains = message.runs, message.chains
        self._marked &= {run.id for run in self.runs}
        self.query_one("#runs-box").border_subtitle = _left_out(message.closed)
        if self.is_current:
            self._fill()
            self._show_hardware()

    def _visible(self) -> list[RunSummary]:
        wanted = self._filter.lower()
        return [r for r in self.runs if wanted in r.id.lower() or wanted in r.state]

    def _rows(self) -> list[Row]:
        """Return what is listed: the runs of a chain stand under it, where its first one would.

        A chain without one stands where a run of its age would.
        """
        visible = {run.id: run for run in self._visible()}
        chain_of = {run: chain for chain in self.chains for run in chain.runs}
        wanted = self._filter.lower()
        alone = [
            chain
            for chain in self.chains
            if visible.keys().isdisjoint(chain.runs)
            and (wanted in chain.id.lower() or wanted in chain.verdict.state)
        ]
        heads: list[Row] = [*visible.values(), *alone]
        rows: dict[str, Row] = {}
        for one in sorted(heads, key=place_in_list):
            chain = chain_of.get(one.id) if isinstance(one, RunSummary) else None
            together: list[Row] = [one]
            if chain is not None:
                together = [chain, *(visible[run] for run in chain.runs if run in visible)]
            rows |= {row_key(row): row for row in together}
        return list(rows.values())

    def _fill(self) -> None:
        table = self.query_one(RunsTable)
        is_empty = not (self.runs or self.chains)
        self.query_one("#empty").display = is_empty
        table.display = not is_empty
        table.show(self._rows(), self._marked, self.shell.clock())
        self._show_detail()

    def _selected(self) -> RunSummary | None:
        wanted = self.query_one(RunsTable).selected_id
        return next((run for run in self.runs if run.id == wanted), None)

    def _selected_chain(self) -> ChainGlance | None:
        wanted = self.query_one(RunsTable).selected_id
        return next((one for one in self.chains if row_key(one) == wanted), None)

    def _chosen(self) -> list[str]:
        """Return the runs to act on: those marked and in sight, else the one under the cursor."""
        marked = [run.id for run in self._visible() if run.id in self._marked]
        selected = self._selected()
        return marked or ([selected.id] if selected else [])

    def _show_detail(self) -> None:
        run, chain = self._selected(), self._selected_chain()
        detail = self.query_one("#detail", Static)
        content = detail_of(run) if run else chain_detail(chain) if chain else Content("")
        if detail.content != content:
            detail.update(content)

    def on_data_table_row_highlighted(self) -> None:
        """Show why the run under the cursor ended or waits."""
        self._show_detail()

    def on_data_table_row_selected(self) -> None:
        """Open the run on enter or click."""
        selected, chain = self._selected(), self._selected_chain()
        if selected:
            self.shell.open_run(selected.id)
        elif chain and chain.at:
            self.shell.open_run(chain.at)
        elif chain:
            self.notify(f"{chain.id} has no run to show", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        self._filter = event.value.strip()
        self._fill()

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the runs."""
        self.query_one("#runs").focus()

    def action_new(self) -> None:
        """Write a run, and start it."""
        self.shell.configure(None)

    def action_new_chain(self) -> None:
        """Start a chain that is written in a file, once its stages were looked at."""
        chain_actions.start_chain(self, then=self._look)

    def action_mark(self) -> None:
        """Mark the run, and go to the next one."""
        selected = self._selected()
        if selected:
            self._marked ^= {selected.id}
            self._fill()
            self.query_one(RunsTable).action_cursor_down()

    def action_filter(self) -> None:
        """Type a part of a name or state."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_back(self) -> None:
        """Take the filter away, then the marks."""
        field = self.query_one("#filter", Input)
        if field.display:
            field.value, field.display = "", False
            self.query_one("#runs").focus()
        elif self._marked:
            self._marked.clear()
            self._fill()

    def action_stop(self) -> None:
        """Save a checkpoint and stop."""
        self._ask_of_either(STOP, chain_actions.STOP)

    def action_kill(self) -> None:
        """End at once."""
        self._ask_of_either(KILL, chain_actions.KILL)

    def action_delete(self) -> None:
        """Remove the runs' folders."""
        self._ask_of_either(DELETE, chain_actions.DELETE)

    def action_delete_all(self) -> None:
        """Remove a chain with its runs."""
        chain = self._selected_chain()
        if chain is None:
            self.notify("`X` removes a chain with its runs; `x` removes runs", markup=False)
        else:
            self._ask_of_chain(chain_actions.DELETE_ALL, chain)

    def action_resume(self) -> None:
        """Go on from the newest checkpoint."""
        chosen, chain = self._chosen(), self._selected_chain()
        if chain is not None and not chosen:
            chain_actions.resume_chain(self, chain.id, then=self._look)
        for run_id in chosen:
            resume(self, run_id, then=self._look)

    def _ask_of_either(self, action: RunAction, on_chain: RunAction) -> None:
        chosen, chain = self._chosen(), self._selected_chain()
        if chain is not None and not chosen:
            self._ask_of_chain(on_chain, chain)
        if action is not DELETE:
            chosen = self._at_work(chosen, orphans=action is KILL)
        if not chosen:
            return

        def go_on() -> None:
            for run_id in chosen:
                perform_on_run(self, action.act, run_id, then=self._look)
            self._marked.difference_update(chosen)

        ask(self, action, chosen, go_on)

    def _ask_of_chain(self, action: RunAction, chain: ChainGlance) -> None:
        act = partial(chain_actions.act_on_chain, self, action, chain.id, then=self._look)
        ask(self, action, [f"chain {chain.id}"], act)

    def _at_work(self, run_ids: list[str], *, orphans: bool) -> list[str]:
        """Return those of the runs that can be ended; say so at once where none can.

        Args:
            run_ids: the runs.
            orphans: also those whose worker has outlived its supervisor.
        """
        named = [run for run in self.runs if run.id in run_ids]
        at_work = [run.id for run in named if run.is_live or (orphans and run.orphan)]
        if named and not at_work:
            said = ", ".join(f"{run.id} is not running: it is {run.state}" for run in named)
            self.notify(said, severity="warning", markup=False)
        return at_work
