"""A list of any length of which only what is in sight is ever asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

LineAt = Callable[[int, int], str]
"""What a row says: its index and the width there is, to one plain line."""


class RowTable(ScrollView, can_focus=True):
    """Rows one below the other, drawn when they come into sight: a million cost what ten do."""

    DEFAULT_CSS = """
    RowTable { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    RowTable > .row-table--cursor { background: $foreground 15%; text-style: bold; }
    RowTable:focus > .row-table--cursor { text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-table--cursor"}
    BINDING_GROUP_TITLE = "Rows"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="rows.down", tooltip="One row down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="rows.up", tooltip="One row up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="rows.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="rows.page_up"),
        Binding("home,g", "end(-1)", "First", show=False, id="rows.first", tooltip="First row"),
        Binding("end,G", "end(1)", "Last", show=False, id="rows.last", tooltip="Last row"),
    ]

    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

    def __init__(self, line_at: LineAt, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._line_at = line_at
        self._rows = 0

    def show(self, rows: int, *, anew: bool = False) -> None:
        """Show so many rows; with ``anew`` they are others than before."""
        if anew:
            self.cursor = 0
            self.scroll_to(y=0, animate=False)
        if rows != self._rows or anew:
            self._rows = rows
            self.virtual_size = Size(self.scrollable_content_region.width, rows)
            self.cursor = self.validate_cursor(self.cursor)  # there may be fewer rows now
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of what is in sight."""
        width = self.scrollable_content_region.width
        index = y + self.scroll_offset.y
        if index >= self._rows:
            return Strip.blank(width, self.rich_style)
        style = self.rich_style
        if index == self.cursor:
            style += self.get_component_rich_style("row-table--cursor")
        return _line(self._line_at(index, width), style, width)

    def validate_cursor(self, index: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(index, self._rows - 1))

    def watch_cursor(self) -> None:
        """Bring the row into sight and tell."""
        self._bring_into_sight()
        self.refresh()
        self.post_message(self.Moved(self.cursor))

    def on_resize(self) -> None:
        """Bring the row into sight: the cursor may have moved while the table was hidden."""
        self._bring_into_sight()

    def _bring_into_sight(self) -> None:
        if self.size.height:
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def action_move(self, by: int) -> None:
        """Go to the next or the last row."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Go a window further or back."""
        self.cursor += by * max(1, self.size.height - 1)

    def action_end(self, which: int) -> None:
        """Go to the first row or the last one."""
        self.cursor = 0 if which < 0 else self._rows - 1


def _line(text: str, style: Style, width: int) -> Strip:
    strip = Strip([Segment(text, style)])
    return strip.extend_cell_length(width, style).crop(0, width)
