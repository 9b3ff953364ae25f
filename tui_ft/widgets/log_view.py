"""A log pane: bounded, written in batches, follows the tail until someone scrolls up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.widgets import Log

from tui_ft import text

_LONGEST_LINE: Final = 2_000
_CELLS_ASIDE: Final = 16
_SIDEWAYS: Final = "Where lines are longer than the pane is wide"


class LogView(Log):
    """Lines of foreign text, made harmless.

    Scrolled up it stands still while lines arrive, also when old ones fall off the top; the
    subtitle then says how to follow again.
    """

    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        background: $background;
        overflow-x: auto;
        scrollbar-size: 0 1;
        border: round $foreground 30%;
        &:focus { border: round $accent; background-tint: $foreground 0%; }
    }
    """
    BINDING_GROUP_TITLE = "Log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "end,G",
            "follow",
            "Follow",
            show=False,
            id="log.follow",
            tooltip="Go to the newest line and stay there",
        ),
        Binding("k", "scroll_up", "Up", show=False, id="log.up", tooltip="One line up"),
        Binding("j", "scroll_down", "Down", show=False, id="log.down", tooltip="One line down"),
        Binding("g", "scroll_home", "First", show=False, id="log.first", tooltip="First line"),
        Binding("left", "sideways(-1)", "Left", show=False, id="log.left", tooltip=_SIDEWAYS),
        Binding("right", "sideways(1)", "Right", show=False, id="log.right", tooltip=_SIDEWAYS),
    ]

    def __init__(
        self, *, max_lines: int = 5_000, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(max_lines=max_lines, id=id, classes=classes)
        self._follows = True

    def append_lines(self, lines: Iterable[str]) -> None:
        """Write a batch of lines; costs one repaint however many there are."""
        batch = [harmless(line) for line in lines]
        if not batch:
            return
        top = self.scroll_offset.y
        expected = self.line_count + len(batch)
        self.write_lines(batch, scroll_end=False)
        dropped = expected - self.line_count
        if self._follows and not self.is_vertical_scrollbar_grabbed:
            self._keep_the_end()
        elif dropped:
            self.scroll_to(y=max(0, top - dropped), animate=False, immediate=True)

    def action_follow(self) -> None:
        """Go to the newest line; those that arrive stay in sight again."""
        self._follows = True
        self.scroll_end(animate=False, immediate=True)

    def on_resize(self) -> None:
        """Keep the newest line in sight, also where lines came while nothing was shown."""
        if self._follows:
            self._keep_the_end()

    def _keep_the_end(self) -> None:
        self.scroll_end(animate=False, immediate=True, x_axis=False)

    def action_sideways(self, way: int) -> None:
        """Show what is left or right of what is in sight."""
        self.scroll_relative(x=way * _CELLS_ASIDE, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Say that the tail is not followed while that is so."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = self.is_vertical_scroll_end
        subtitle = "" if self._follows else "scrolled up: end follows"
        if subtitle != (self.border_subtitle or ""):
            self.border_subtitle = subtitle


def harmless(line: str) -> str:
    r"""Return ``line`` as one line of plain text that is not empty and not endless.

    Of a line that a progress bar wrote over and over (`\r`), the last state is kept.
    """
    final = line.rstrip("\r\n").rsplit("\r", 1)[-1]
    cut = final if len(final) <= _LONGEST_LINE else final[:_LONGEST_LINE] + "…"
    shown = cut if cut.isascii() and cut.isprintable() else text.plain(cut.replace("\t", "    "))
    return shown or " "
