"""Help that is as wide as the terminal, and not wider: click by itself takes 50 columns or more."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import Any, Final

import click
from click import formatting

_LEAST: Final = 30
_WIDEST: Final = 80
_WIDE: Final = 70
"""From here on the columns are click's own."""
_SENTENCE: Final = 200
_INDENT: Final = 4
"""Of a help that stands below its option, where there is no place beside it."""


class HelpFormatter(click.HelpFormatter):
    """Breaks a long list of choices, and on a narrow terminal puts help below its option."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        """Take the width of the terminal, unless one is given or forced by a test."""
        width = width or formatting.FORCED_WIDTH
        if width is None:
            columns = min(shutil.get_terminal_size().columns, max_width or _WIDEST)
            width = max(columns - 2, _LEAST)
        super().__init__(indent_increment, width, max_width)

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write options, or commands, with their help."""
        broken = [(self._broken(first), second) for first, second in rows]
        if self.width < _WIDE:
            longest = max((len(first) for first, _ in broken), default=0)
            col_max = longest if longest <= self.width // 3 else _INDENT
        super().write_dl(broken, col_max, col_spacing)

    def _broken(self, first: str) -> str:
        """Return an option and what it takes on as many lines as that needs."""
        room = self.width - self.current_indent
        if len(first) <= room:
            return first
        begin = " " * (self.current_indent + _INDENT)
        lines = textwrap.wrap(first.replace("|", "| "), room - _INDENT, break_on_hyphens=False)
        return f"\n{begin}".join(line.replace("| ", "|") for line in lines)


class HelpContext(click.Context):
    """A context whose help is as wide as the terminal."""

    formatter_class = HelpFormatter


class HelpGroup(click.Group):
    """Commands with a whole sentence on each, on as many lines as that takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with what each does."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, one.get_short_help_str(_SENTENCE)) for name, one in found if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def as_wide_as_the_terminal(command: click.Command) -> click.Command:
    """Return a command whose help, and that of its own commands, keeps to the terminal."""
    command.context_class = HelpContext
    inner: dict[str, Any] = getattr(command, "commands", {})
    for one in inner.values():
        as_wide_as_the_terminal(one)
    return command
