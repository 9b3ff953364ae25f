"""A short list of which one thing is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui_ft import text


@dataclass(frozen=True, slots=True)
class Choice:
    """What can be chosen: the value given back, and what is said of it."""

    value: str
    help: str = ""


class Choose(ModalScreen[str | None]):
    """Dismisses with the value chosen, or None.

    Args:
        title: what is chosen.
        choices: what there is.
        chosen: the value that holds now.
    """

    DEFAULT_CSS = """
    Choose {
        align: center middle;
        & > Vertical {
            width: 72;
            max-width: 95%;
            height: auto;
            max-height: 90%;
            padding: 0 1;
            border: round $accent;
            background: $surface;
        }
        & OptionList {
            height: auto;
            max-height: 50vh;
            background: $surface;
            &, &:focus { border: none; padding: 0; }
        }
        & #choice-help { height: auto; max-height: 6; color: $text-muted; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="choose.cancel", tooltip="Leave it as it is"),
        Binding("j", "move(1)", "Down", show=False, id="choose.down"),
        Binding("k", "move(-1)", "Up", show=False, id="choose.up"),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], chosen: str = "") -> None:
        super().__init__()
        self._title, self._choices, self._chosen = title, choices, chosen

    def compose(self) -> ComposeResult:
        """Lay out the list, and what is said of the choice under the cursor."""
        with Vertical() as box:
            box.border_title = Content(text.plain(self._title))
            box.border_subtitle = "enter takes it   esc cancel"
            yield OptionList(*(Option(Content(text.plain(c.value))) for c in self._choices))
            yield Static(id="choice-help")

    def on_mount(self) -> None:
        """Stand on what holds now."""
        values = [choice.value for choice in self._choices]
        options = self.query_one(OptionList)
        options.highlighted = values.index(self._chosen) if self._chosen in values else 0
        options.focus()

    def on_resize(self) -> None:
        """Keep the choice under the cursor in sight."""
        self.call_after_refresh(self.query_one(OptionList).scroll_to_highlight)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what the choice under the cursor means."""
        said = self._choices[event.option_index].help
        self.query_one("#choice-help", Static).update(Content(text.plain(said)))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take it."""
        self.dismiss(self._choices[event.option_index].value)

    def action_cancel(self) -> None:
        """Take none."""
        self.dismiss(None)

    def action_move(self, by: int) -> None:
        """Go down or up, as in every list."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if by > 0 else options.action_cursor_up()
