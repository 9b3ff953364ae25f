"""One row of a data set, in one of several views."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tui_ft.screens.data import row_text as data_row_text
from tui_ft.screens.data.row_text import View
from tui_ft.screens.data.token_text import Lens
from tui_ft.survey.browsing import Browsed
from tui_ft.widgets.signs import sign

_VIEWS: Final[tuple[View, ...]] = ("conversation", "learned", "packed", "record")


class RowPane(VerticalScroll):
    """The row under the cursor; made in a thread, for tokens take their time."""

    BINDING_GROUP_TITLE = "Row"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "onward(1)", "Next row", show=False, id="row.next", tooltip="The next row"),
        Binding("k", "onward(-1)", "Last row", show=False, id="row.last", tooltip="The row before"),
    ]

    class Onward(Message):
        """Another row is wanted, so many further on."""

        def __init__(self, by: int) -> None:
            self.by = by
            super().__init__()

    class Made(Message):
        """A row is ready to be shown."""

        def __init__(self, wish: int, title: str, content: Content) -> None:
            self.wish, self.title, self.content = wish, title, content
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="box")
        self.border_title = "Row"
        self._view: View = "conversation"
        self._lens = Lens()
        self._found: Browsed | None = None
        self._wishes = 0  # threads may end in another order than they began

    def compose(self) -> ComposeResult:
        """Lay out the row."""
        yield Static(id="row")

    def show(self, found: Browsed | None, lens: Lens) -> None:
        """Show another row, or the same one through another lens."""
        self._found, self._lens = found, lens
        self._make()

    def action_onward(self, by: int) -> None:
        """Ask for another row."""
        self.post_message(self.Onward(by))

    def next_view(self) -> None:
        """Show the row in the next way."""
        self._view = _VIEWS[(_VIEWS.index(self._view) + 1) % len(_VIEWS)]
        self._make()

    def _make(self) -> None:
        if self._found is None:
            self.border_title = "Row"
            return
        self.border_subtitle = f"{sign('waiting').text()} {self._view}"
        self._wishes += 1
        width = self.scrollable_content_region.width
        make = partial(self._render_row, self._wishes, self._found, self._view, self._lens, width)
        self.run_worker(make, thread=True, group="row", exclusive=True, exit_on_error=False)

    def _render_row(self, wish: int, found: Browsed, view: View, lens: Lens, width: int) -> None:
        content = data_row_text.row_content(found, view, lens, width)
        self.post_message(self.Made(wish, f"Row {found.row.line:,} · {view}", content))

    def on_resize(self) -> None:
        """Draw as wide as there is room; where it was hidden, that is known only now."""
        self._make()

    def on_row_pane_made(self, message: Made) -> None:
        """Put the row into its place, unless another is wanted by now."""
        message.stop()
        if message.wish == self._wishes:
            self.border_title = message.title
            self.border_subtitle = "v other views"
            self.query_one("#row", Static).update(message.content)
            self.scroll_home(animate=False)
