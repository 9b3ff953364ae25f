"""Which column plays which part, chosen by hand, with the first row as it is then read."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui_ft import text
from tui_ft.data import DataError, Row, RowProblem
from tui_ft.screens.boxes.dialog import Dialog
from tui_ft.screens.data.row_text import conversation
from tui_ft.survey.first_rows import first_rows
from tui_ft.survey.mapping import (
    FORMAT_CHOICES,
    Column,
    FormatChoice,
    Mapped,
    as_yaml,
    columns_of,
    mapped,
    parts_of,
)
from tui_ft.widgets.signs import sign

_NAME: Final = 18
_TYPE: Final = 13
_PART: Final = 14


class Chosen(NamedTuple):
    """How rows are to be read: the format, and part -> column as far as it was chosen by hand."""

    format: FormatChoice
    columns: dict[str, str]


class MapColumns(Dialog[Chosen | None]):
    """Dismisses with what was chosen, or with None.

    Args:
        path: a file or a folder on this machine.
        chosen: how its rows are read so far.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "part(1)", "Part", id="map.part", tooltip="Its next part"),
        Binding("left", "part(-1)", "Part before", id="map.part_before", tooltip="Its last part"),
        Binding("f", "format(1)", "Format", id="map.format", tooltip="The next format"),
        Binding("F", "format(-1)", "Format before", id="map.format_before", tooltip="The last one"),
        Binding("r", "reset", "Reset", id="map.reset", tooltip="Leave it all to detection"),
        Binding("j", "move(1)", "Down", show=False, id="map.down", tooltip="One column down"),
        Binding("k", "move(-1)", "Up", show=False, id="map.up", tooltip="One column up"),
        Binding("ctrl+s", "use", "Use", id="map.use", tooltip="Read the data set in this way"),
        Binding("escape,q", "dismiss(None)", "Cancel", id="map.cancel", tooltip="Change nothing"),
    ]

    class Read(Message):
        """The first rows are there, or this is why not."""

        def __init__(self, rows: list[Row], problem: str = "") -> None:
            self.rows, self.problem = rows, problem
            super().__init__()

    class Tried(Message):
        """What comes of a choice."""

        def __init__(self, chosen: Chosen, outcome: Mapped) -> None:
            self.chosen, self.outcome = chosen, outcome
            super().__init__()

    def __init__(self, path: str, chosen: Chosen) -> None:
        super().__init__()
        self._path = path
        self._format: FormatChoice = chosen.format
        self._by_hand = dict(chosen.columns)
        self._rows: list[Row] = []
        self._columns: tuple[Column, ...] = ()
        self._outcome: Mapped | None = None

    def compose(self) -> ComposeResult:
        """Lay out formats, columns, the first row, and how a run says it."""
        with Vertical(classes="dialog") as box:
            box.border_title = Content(f"Columns of {text.ending(self._path, 50)}")
            box.border_subtitle = "space part  f format  r reset  enter use  esc cancel"
            yield Static(id="formats")
            yield OptionList(id="columns")
            yield Static(id="outcome")
            with VerticalScroll(id="first"):
                yield Static(id="first-row")
            yield Static(id="map-yaml")

    def on_mount(self) -> None:
        """Read the first rows."""
        self.query_one("#columns").focus()
        self._show_formats()
        self.run_worker(self._read, thread=True, exit_on_error=False)

    def _read(self) -> None:
        try:
            self.post_message(self.Read(first_rows(self._path)))
        except DataError as error:
            self.post_message(self.Read([], str(error)))

    def on_map_columns_read(self, message: Read) -> None:
        """Show the columns there are."""
        self._rows, self._columns = message.rows, columns_of(message.rows)
        if message.problem:
            self._say(sign("bad").content(text.plain(message.problem)))
            return
        self._fill()
        self._try()

    def _try(self) -> None:
        chosen = Chosen(self._format, dict(self._by_hand))
        run = partial(self._find_outcome, chosen)
        self.run_worker(run, thread=True, group="try", exclusive=True, exit_on_error=False)

    def _find_outcome(self, chosen: Chosen) -> None:
        self.post_message(self.Tried(chosen, mapped(self._rows, *chosen)))

    def on_map_columns_tried(self, message: Tried) -> None:
        """Show the first row as it is read now, or why it cannot be."""
        if message.chosen != Chosen(self._format, self._by_hand):
            return
        self._outcome = message.outcome
        self._fill()
        self._show_formats()
        self._show_outcome(message.outcome)

    def _show_outcome(self, outcome: Mapped) -> None:
        if outcome.format is None:
            self._say(sign("bad").content(text.plain(outcome.reason)))
            self.query_one("#first-row", Static).update("")
        else:
            said = f"{outcome.usable:,} of {outcome.rows:,} rows can be used. {outcome.reason}"
            is_whole = outcome.usable == outcome.rows
            self._say(sign("good" if is_whole else "warning").content(text.plain(said)))
            first = outcome.first
            shown = (
                (
                    sign("bad").content(text.plain(first.reason))
                    if first is None or isinstance(first, RowProblem)
                    else conversation(first)
                )
                if first is not None
                else Content("")
            )
            self.query_one("#first-row", Static).update(shown)
        lines = as_yaml(self._format, self._by_hand)
        self.query_one("#map-yaml", Static).update(Content(text.plain(lines, keep_newlines=True)))

    def _say(self, said: Content) -> None:
        self.query_one("#outcome", Static).update(said)

    def _show_formats(self) -> None:
        found = self._outcome.format if self._outcome is not None else None
        parts = []
        for name in FORMAT_CHOICES:
            if name == self._format:
                parts.append(Content.styled(f"{sign('selected').text()}{name}", "bold reverse"))
            elif name == found and self._format == "auto":
                parts.append(Content.styled(f"({name})", "bold"))
            else:
                parts.append(Content(name))
        self.query_one("#formats", Static).update(
            Content.assemble("format  ", Content("  ").join(parts))
        )

    def _fill(self) -> None:
        columns = self.query_one("#columns", OptionList)
        kept = columns.highlighted
        columns.clear_options()
        columns.add_options([Option(self._line(column)) for column in self._columns])
        columns.highlighted = kept or 0

    def _line(self, column: Column) -> Content:
        """Return a column: its part, name, type, share filled, samples."""
        chosen = next((part for part, name in self._by_hand.items() if name == column.name), None)
        known = self._outcome.columns if self._outcome is not None else {}
        found = next((part for part, name in known.items() if name == column.name), None)
        part = f"{sign('marked').text()} {chosen}" if chosen else f"  ({found})" if found else "  -"
        types = column.types[0] if column.types else "empty"
        more = "+" if len(column.types) > 1 else ""
        return Content(
            f"{part:<{_PART + 2}} {text.fitted(column.name, _NAME)} {types + more:<{_TYPE}} "
            f"{text.percent(column.filled):>6}  {' | '.join(column.samples)}"
        )

    def on_option_list_option_selected(self) -> None:
        """Take it on enter."""
        self.action_use()

    def action_part(self, by: int) -> None:
        """Let the column play another part, of those that no other column was given."""
        at = self.query_one("#columns", OptionList).highlighted
        if at is None or not self._columns:
            return
        name = self._columns[at].name
        free = [part for part in parts_of(self._format) if self._by_hand.get(part, name) == name]
        parts = ["", *free]
        now = next((part for part in free if part in self._by_hand), "")
        then = parts[(parts.index(now) + by) % len(parts)]
        self._by_hand.pop(now, None)
        if then:
            self._by_hand[then] = name
        self._fill()
        self._try()

    def action_format(self, by: int) -> None:
        """Take another format; parts that it does not have are no longer chosen."""
        at = FORMAT_CHOICES.index(self._format)
        self._format = FORMAT_CHOICES[(at + by) % len(FORMAT_CHOICES)]
        able = parts_of(self._format)
        self._by_hand = {part: name for part, name in self._by_hand.items() if part in able}
        self._show_formats()
        self._try()

    def action_reset(self) -> None:
        """Leave format and columns to detection."""
        self._format, self._by_hand = "auto", {}
        self._try()

    def action_move(self, by: int) -> None:
        """Go to another column."""
        columns = self.query_one("#columns", OptionList)
        columns.action_cursor_down() if by > 0 else columns.action_cursor_up()

    def action_use(self) -> None:
        """Read the data set in this way, if it can be."""
        if self._outcome is not None and self._outcome.format is not None:
            self.dismiss(Chosen(self._format, dict(self._by_hand)))
