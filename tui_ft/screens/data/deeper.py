"""What is looked for only when asked: it takes other libraries, or a model, and its time."""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from tui_ft import text
from tui_ft.data import DataError
from tui_ft.screens.boxes.dialog import Dialog
from tui_ft.survey.helpers import Extra, encoder_folder, require
from tui_ft.survey.request import Request
from tui_ft.widgets.signs import sign

_EXTRAS: Final[tuple[tuple[Extra, str], ...]] = (
    ("pii", "personal data, by presidio"),
    ("toxicity", "offensive language, by profanity-check"),
)


class Deeper(NamedTuple):
    """What else is to be looked for, named as in a `Request`."""

    embed: str | None = None
    pii: bool = False
    toxicity: bool = False


class LookDeeper(Dialog[Deeper | None]):
    """Dismisses with what is to be looked for; None leaves it as it is.

    Args:
        request: what is looked for now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="deeper.mark", tooltip="Look for it, or not"),
        Binding("j", "move(1)", "Down", show=False, id="deeper.down"),
        Binding("k", "move(-1)", "Up", show=False, id="deeper.up"),
        Binding("ctrl+s", "look", "Look", id="deeper.look", tooltip="Read all rows for it"),
        Binding("escape", "dismiss(None)", "Cancel", id="deeper.cancel", tooltip="Leave it"),
    ]

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._data, self._embed = request.path, request.embed or ""
        self._wanted: set[Extra] = set(request.extras)

    def compose(self) -> ComposeResult:
        """Lay out the libraries, the encoder, and what stands in the way."""
        with Vertical(classes="dialog") as box:
            box.border_title = Content(f"Look deeper into {text.ending(self._data, 50)}")
            box.border_subtitle = "space mark  tab encoder  ctrl+s looks  esc cancel"
            yield OptionList(*(Option("", id=extra) for extra, _ in _EXTRAS), id="extras")
            yield Label("rows that mean the same, by the vectors of this model")
            yield Input(
                self._embed, placeholder="an encoder: a folder, or an id in the Hub's cache"
            )
            yield Static(id="missing")

    def on_mount(self) -> None:
        """Say what is not installed, before it is asked for."""
        self._fill()
        extras = self.query_one(OptionList)
        extras.highlighted = 0
        extras.focus()
        missing = [said for extra, _ in _EXTRAS if (said := _lacking(extra))]
        self._say("\n".join(missing))

    def _fill(self) -> None:
        for at, (extra, meaning) in enumerate(_EXTRAS):
            mark = sign("marked").text() if extra in self._wanted else " "
            line = f"{mark} {meaning}"
            self.query_one(OptionList).replace_option_prompt_at_index(at, Content(line))

    def action_mark(self) -> None:
        """Look for what is under the cursor, or do not; a library that is missing is named."""
        at = self.query_one(OptionList).highlighted
        if at is None:
            return
        extra = _EXTRAS[at][0]
        lacking = _lacking(extra)
        self._say(lacking)
        if not lacking or extra in self._wanted:
            self._wanted ^= {extra}
            self._fill()

    def on_option_list_option_selected(self) -> None:
        """Mark with enter, too."""
        self.action_mark()

    def action_move(self, by: int) -> None:
        """Go down or up, as in every list."""
        extras = self.query_one(OptionList)
        extras.action_cursor_down() if by > 0 else extras.action_cursor_up()

    def on_input_submitted(self) -> None:
        """Look on enter in the encoder's name."""
        self.action_look()

    def action_look(self) -> None:
        """Look for it, unless the encoder is none."""
        model = self.query_one(Input).value.strip()
        try:
            if model:
                encoder_folder(model)
        except DataError as error:
            self._say(str(error))
        except OSError as error:
            self._say(text.of_system(error))
        else:
            self.dismiss(Deeper(model or None, "pii" in self._wanted, "toxicity" in self._wanted))

    def _say(self, problem: str) -> None:
        lines = [sign("bad").content(text.plain(line)) for line in problem.splitlines()]
        self.query_one("#missing", Static).update(Content("\n").join(lines))


def _lacking(extra: Extra) -> str:
    """Return which library is not installed, and the command that installs it; "" if it is."""
    try:
        require(extra)
    except DataError as error:
        return str(error)
    return ""
