"""The list of runs: draws again only what changed, and keeps the cursor on its run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable

from tui_ft.runs.registry import RunSummary
from tui_ft.screens.run_row import Columns, run_cells
from tui_ft.widgets.signs import as_text


class RunsTable(DataTable[Text]):
    """Runs, one in a row. `enter` or a click posts `DataTable.RowSelected`."""

    BINDING_GROUP_TITLE = "Runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "select_cursor",
            "Open",
            key_display="enter",
            id="runs.open",
            tooltip="Watch the run",
        ),
        Binding("j", "cursor_down", "Down", show=False, id="runs.down", tooltip="One run down"),
        Binding("k", "cursor_up", "Up", show=False, id="runs.up", tooltip="One run up"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row")
        self._drawn_columns: Columns | None = None
        self._drawn: dict[str, list[Content]] = {}
        self._told: tuple[Sequence[RunSummary], Collection[str], float] = ((), (), 0.0)

    @property
    def selected_id(self) -> str | None:
        """The id of the run under the cursor."""
        ids = list(self._drawn)
        return ids[self.cursor_row] if 0 <= self.cursor_row < len(ids) else None

    def show(self, runs: Sequence[RunSummary], marked: Collection[str], now: float) -> None:
        """Show ``runs`` in their order, in the columns there is room for."""
        self._told = runs, marked, now
        if self.size.width:  # else not laid out yet
            self._fill(runs, marked, now)

    def on_resize(self) -> None:
        """Choose the columns anew."""
        self._fill(*self._told)

    def _fill(self, runs: Sequence[RunSummary], marked: Collection[str], now: float) -> None:
        layout = Columns.within(self.scrollable_content_region.width, self.cell_padding)
        rows = {run.id: run_cells(run, layout, now, marked=run.id in marked) for run in runs}
        if layout == self._drawn_columns and list(rows) == list(self._drawn):
            self._update(rows, layout)
        else:
            self._rebuild(rows, layout)

    def _update(self, rows: dict[str, list[Content]], layout: Columns) -> None:
        keys = [key for key, _, _ in layout.table()]
        for run_id, cells in rows.items():
            for key, old, new in zip(keys, self._drawn[run_id], cells, strict=True):
                if old != new:
                    self.update_cell(run_id, key, as_text(new))
        self._drawn = rows

    def _rebuild(self, rows: dict[str, list[Content]], layout: Columns) -> None:
        selected = self.selected_id
        self.clear(columns=layout != self._drawn_columns)
        if layout != self._drawn_columns:
            for key, label, width in layout.table():
                self.add_column(label, key=key, width=width)
        for run_id, cells in rows.items():
            self.add_row(*map(as_text, cells), key=run_id)
        self._drawn_columns, self._drawn = layout, rows
        if selected in rows:
            self.move_cursor(row=list(rows).index(selected))
