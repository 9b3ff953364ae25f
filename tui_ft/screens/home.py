"""Home: the machine now, and every run, live and past."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Input, Static
from textual.worker import get_current_worker

from tui_ft.runs import launch
from tui_ft.runs.registry import RunSummary, list_runs
from tui_ft.screens.base import HELP, FtuiScreen
from tui_ft.screens.run_actions import DELETE, KILL, STOP, RunAction, ask, perform
from tui_ft.screens.run_text import detail_of, run_cells
from tui_ft.screens.top_line import TopLine
from tui_ft.widgets.gpu_panel import HardwarePanel
from tui_ft.widgets.signs import as_text, sign

_POLL_SECONDS = 1.0
_COLUMNS = (
    ("mark", " "),
    ("state", "state"),
    ("run", "run"),
    ("progress", "progress"),
    ("loss", "loss".rjust(7)),
    ("left", "left".rjust(7)),
    ("age", "age".rjust(4)),
)
_EMPTY = (
    "No runs yet.\n\n"
    "n            start one from a preset or a YAML file\n"
    "ftui demo    in a shell: a small model learns to write JSON, in minutes, GPU or not"
)


class HomeScreen(FtuiScreen):
    """Hardware above, runs below, and of the run selected the reason it ended or waits."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", id="home.new", tooltip="Start a run"),
        Binding("enter", "open", "Open", id="home.open", tooltip="Watch the run"),
        Binding("s", "stop", "Stop", id="home.stop", tooltip="Save a checkpoint and stop"),
        Binding("r", "resume", "Resume", id="home.resume", tooltip="Go on from the checkpoint"),
        Binding("K", "kill", "Kill", show=False, id="home.kill", tooltip="End it at once"),
        Binding("x", "delete", "Delete", id="home.delete", tooltip="Remove the run's folder"),
        Binding("space", "mark", "Mark", id="home.mark", tooltip="Act on several runs at once"),
        Binding("slash", "filter", "Filter", key_display="/", id="home.filter"),
        Binding("escape", "back", "Back", show=False, id="home.back", tooltip="Clear the filter"),
        Binding("j", "cursor(1)", "Down", show=False, id="home.down", tooltip="One run down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="home.up", tooltip="One run up"),
        Binding("q", "app.quit", "Quit", id="home.quit", tooltip="Leave; runs go on"),
        HELP,
    ]

    class RunsRead(Message):
        """The runs were read anew."""

        def __init__(self, runs: list[RunSummary]) -> None:
            self.runs = runs
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunSummary] = []
        self._shown: dict[str, tuple[Content, ...]] = {}
        self._marked: set[str] = set()
        self._filter = ""

    def compose_content(self) -> ComposeResult:
        """Lay out hardware, runs, detail."""
        with Vertical(id="hardware-box") as box:
            box.border_title = "Hardware"
            yield HardwarePanel(id="hardware")
        with Vertical(id="runs-box") as box:
            box.border_title = "Runs"
            yield Static(_EMPTY, id="empty")
            yield DataTable(id="runs", cursor_type="row", zebra_stripes=False)
            yield Input(placeholder="part of a name or state", id="filter")
        yield Static(id="detail")

    def on_mount(self) -> None:
        """Begin to look, and look again every second."""
        table = self.query_one("#runs", DataTable)
        for key, label in _COLUMNS:
            table.add_column(label, key=key)
        self.query_one("#filter").display = False
        table.display = False
        table.focus()
        self._look()
        self.set_interval(_POLL_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Look at once when one comes back."""
        self._look()

    def _look(self) -> None:
        self._show_hardware()
        if self.is_current:
            self.run_worker(self._read, thread=True, exclusive=True, group="runs")

    def _read(self) -> None:
        runs = list_runs()
        if not get_current_worker().is_cancelled:
            self.post_message(self.RunsRead(runs))

    def _show_hardware(self) -> None:
        hardware = self.shell.hardware
        snapshot = hardware.latest()
        labels = {gpu: run.id for run in self.runs if run.is_live for gpu in run.gpus}
        panel = self.query_one("#hardware", HardwarePanel)
        panel.update(snapshot, labels=labels, stale_for=hardware.stale_for())
        self.query_one(TopLine).show(snapshot, self.runs)

    def on_home_screen_runs_read(self, message: RunsRead) -> None:
        """Show what was read; only what changed is drawn again."""
        self.runs = message.runs
        self._marked &= {run.id for run in self.runs}
        self._fill()
        self._show_hardware()

    def _visible(self) -> list[RunSummary]:
        wanted = self._filter.lower()
        return [r for r in self.runs if wanted in r.id.lower() or wanted in r.state]

    def _fill(self) -> None:
        table = self.query_one("#runs", DataTable)
        self.query_one("#empty").display = not self.runs
        table.display = bool(self.runs)
        now = self.shell.clock()
        rows = {run.id: self._cells(run, now) for run in self._visible()}
        if list(rows) == list(self._shown):
            for run_id, cells in rows.items():
                self._update_row(table, run_id, cells)
        else:
            self._rebuild(table, rows)
        self._shown = rows
        self._show_detail()

    def _cells(self, run: RunSummary, now: float) -> tuple[Content, ...]:
        marked = sign("marked").content() if run.id in self._marked else Content(" ")
        return (marked, *run_cells(run, now))

    def _update_row(
        self, table: DataTable[object], run_id: str, cells: tuple[Content, ...]
    ) -> None:
        for (key, _), old, new in zip(_COLUMNS, self._shown[run_id], cells, strict=True):
            if old != new:
                table.update_cell(run_id, key, as_text(new), update_width=True)

    def _rebuild(self, table: DataTable[object], rows: dict[str, tuple[Content, ...]]) -> None:
        selected = self.selected_id()
        table.clear()
        for run_id, cells in rows.items():
            table.add_row(*(as_text(cell) for cell in cells), key=run_id)
        if selected in rows:
            table.move_cursor(row=list(rows).index(selected))

    def selected_id(self) -> str | None:
        """Return the id of the run under the cursor."""
        names = list(self._shown)
        row = self.query_one("#runs", DataTable).cursor_row
        return names[row] if 0 <= row < len(names) else None

    def _selected(self) -> RunSummary | None:
        wanted = self.selected_id()
        return next((run for run in self.runs if run.id == wanted), None)

    def _chosen(self) -> list[str]:
        """Return the runs to act on: those marked, else the one under the cursor."""
        selected = self.selected_id()
        return sorted(self._marked) or ([selected] if selected else [])

    def _show_detail(self) -> None:
        run = self._selected()
        detail = self.query_one("#detail", Static)
        content = detail_of(run) if run else Content("")
        if detail.content != content:
            detail.update(content)

    def on_data_table_row_highlighted(self) -> None:
        """Show why the run under the cursor ended or waits."""
        self._show_detail()

    def on_data_table_row_selected(self) -> None:
        """Open the run on enter or click."""
        self.action_open()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        self._filter = event.value.strip()
        self._fill()

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the runs."""
        self.query_one("#runs").focus()

    def action_new(self) -> None:
        """Start a run."""
        self.shell.new_run()

    def action_open(self) -> None:
        """Watch the run under the cursor."""
        selected = self.selected_id()
        if selected:
            self.shell.open_run(selected)

    def action_cursor(self, by: int) -> None:
        """Move the cursor."""
        table = self.query_one("#runs", DataTable)
        table.move_cursor(row=max(0, min(len(self._shown) - 1, table.cursor_row + by)))

    def action_mark(self) -> None:
        """Mark the run, and go to the next one."""
        selected = self.selected_id()
        if selected:
            self._marked ^= {selected}
            self._fill()
            self.action_cursor(1)

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
        self._ask(STOP)

    def action_kill(self) -> None:
        """End at once."""
        self._ask(KILL)

    def action_delete(self) -> None:
        """Remove the runs' folders."""
        self._ask(DELETE)

    def action_resume(self) -> None:
        """Go on from the newest checkpoint."""
        for run_id in self._chosen():
            perform(self, launch.resume, run_id, then=self._look)

    def _ask(self, action: RunAction) -> None:
        chosen = self._chosen()
        if not chosen:
            return

        def go_on() -> None:
            for run_id in chosen:
                perform(self, action.act, run_id, then=self._look)
            self._marked.clear()

        ask(self, action, chosen[0] if len(chosen) == 1 else f"{len(chosen)} runs", go_on)
