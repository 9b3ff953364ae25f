"""What all screens share: first and last line, help, and what is said when there is no room."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from tui_ft.screens.shell import Shell
from tui_ft.screens.top_line import TopLine
from tui_ft.screens.twins import TWINS
from tui_ft.widgets.help import HelpScreen
from tui_ft.widgets.key_footer import KeyFooter

HELP = Binding("question_mark", "keys", "Help", key_display="?", id="help", tooltip="All keys")
"""Every screen's last key: the footer shows keys in the order in which a screen names them."""

TOO_SMALL = "ftui needs 60 columns and 16 lines; this window has fewer. Please make it larger."


class FtuiScreen(Screen[None]):
    """A screen with the first line, its own content, and the keys on the last line.

    Below 60x16 the content gives way to a sentence that asks for room.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (110, "-wide"), (160, "-vast")]  # noqa: RUF012 - Textual's own form
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (16, "-low"), (34, "-tall")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.reading = False

    def compose(self) -> ComposeResult:
        """Lay the screen out; what is its own comes from `compose_content`."""
        yield TopLine()
        yield Static(TOO_SMALL, id="too-small")
        yield from self.compose_content()
        yield KeyFooter(show_command_palette=False)

    def compose_content(self) -> ComposeResult:
        """Lay out what this screen is for."""
        yield from ()

    @property
    def shell(self) -> Shell:
        """The app, as far as a screen needs it."""
        return cast(Shell, self.app)

    def read_in_thread(self, read: Callable[[], None]) -> None:
        """Call ``read`` in a thread, unless it is still at it; it ends by posting a message.

        Who handles that message sets `reading` to False.
        """
        if not self.reading:
            self.reading = True
            self.run_worker(read, thread=True, group="read", exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Read again after a read that failed: a folder may have vanished under it."""
        if event.worker.group == "read" and event.state is WorkerState.ERROR:
            self.reading = False

    def action_keys(self) -> None:
        """Show the keys that work here."""
        self.app.push_screen(HelpScreen.of(self, commands=TWINS))
