"""What all screens share: first and last line, help, and what is said when there is no room."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static

from tui_ft.screens.top_line import TopLine
from tui_ft.widgets.help import HelpScreen

if TYPE_CHECKING:
    from tui_ft.app import FtuiApp

TOO_SMALL = "ftui needs 60 columns and 16 lines; this window has fewer. Please make it larger."


class FtuiScreen(Screen[None]):
    """A screen with the first line, its own content, and the keys on the last line.

    Below 60x16 the content gives way to a sentence that asks for room.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide"), (160, "-vast")]  # noqa: RUF012 - Textual's own form
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-low"), (34, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "keys", "Help", key_display="?", id="help", tooltip="All keys"),
    ]

    def compose(self) -> ComposeResult:
        """Lay the screen out; what is its own comes from `compose_content`."""
        yield TopLine()
        yield Static(TOO_SMALL, id="too-small")
        yield from self.compose_content()
        yield Footer(show_command_palette=False)

    def compose_content(self) -> ComposeResult:
        """Lay out what this screen is for."""
        yield from ()

    @property
    def ftui(self) -> FtuiApp:
        """The app, by its own type."""
        return cast("FtuiApp", self.app)

    def action_keys(self) -> None:
        """Show the keys that work here."""
        self.app.push_screen(HelpScreen.of(self))
