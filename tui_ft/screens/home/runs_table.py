"""The list of runs: draws again only what changed, and keeps the cursor on its run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable

from tui_ft.chains.glance import ChainGlance
from tui_ft.runs.registry import RunSummary
from tui_ft.screens.home.run_row import Columns, chain_cells, run_cells
from tui_ft.widgets.signs import as_text

Row = RunSummary | ChainGlance


def row_key(row: Row) -> str:
    """Return the key of a row; no run is called like a chain's."""
    return f"chain:{row.id}" if isinstance(row, ChainGlance) else row.id


class RunsTable(DataTable[Text]):
    """Runs, one in a row, those of a chain under it.

    `enter` or a click posts `DataTable.RowSelected`.
    """

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
        Binding("home,g", "scroll_top", "First", show=False, id="runs.first", tooltip="First run"),
        Binding("end,G", "scroll_bottom", "Last", show=False, id="runs.last", tooltip="Last run"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row")
        self._drawn_columns: Columns | None = None
        self._drawn: dict[str, list[Content]] = {}
        self._told: tuple[Sequence[Row], Collection[str], float] = ((), (), 0.0)

    @property
    def selected_id(self) -> str | None:
        """The key of the row under the cursor: the run's id, or the chain's with `chain:`."""
        ids = list(self._drawn)
        return ids[self.cursor_row] if 0 <= self.cursor_row < len(ids) else None

    def show(self, rows: Sequence[Row], marked: Collection[str], now: float) -> None:
        """Show ``rows`` in their order, in the columns there is room for."""
        self._told = rows, marked, now
        if self.size.width:  # else not laid out yet
            self._fill(rows, marked, now)

    def on_resize(self) -> None:
        """Choose the columns anew."""
        self._fill(*self._told)

    def _fill(self, shown: Sequence[Row], marked: Collection[str], now: float) -> None:
        layout = Columns.within(self.scrollable_content_region.width, self.cell_padding)
        stages = {run for row in shown if isinstance(row, ChainGlance) for run in row.runs}
        rows = {
            row_key(row): chain_cells(row, layout, now)
            if isinstance(row, ChainGlance)
            else run_cells(row, layout, now, marked=row.id in marked, is_stage=row.id in stages)
            for row in shown
        }
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
