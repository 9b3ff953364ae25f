"""The line below the first one, on which the Data screen asks for a word."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

Asking = Literal["model", "text", "length", "eval"]
"""What is asked for: a model's folder, a text to search for, a max_length, evaluation data."""

_PLACEHOLDERS: Final[dict[Asking, str]] = {
    "model": "the folder of a model, whose tokens are counted",
    "text": "a text to search the rows for; column:text looks into one column",
    "eval": "a file of evaluation data, with which rows shall not overlap; nothing for none",
    "length": "where rows are cut, in tokens; nothing for what is recommended",
}


class AskLine(Input):
    """Hidden until something is asked; enter answers, and hides it again."""

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Answer", id="ask.answer", tooltip="Take what was typed"),
        Binding("escape", "give_up", "Close", id="ask.close", tooltip="Leave it as it is"),
    ]

    class Answered(Message):
        """A person has said it; empty when nothing was typed."""

        def __init__(self, asking: Asking, said: str) -> None:
            self.asking, self.said = asking, said
            super().__init__()

    class Closed(Message):
        """Nothing is asked any more: the keys belong elsewhere."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._asking: Asking = "text"

    def on_mount(self) -> None:
        """Nothing is asked yet."""
        self._show(False)

    def ask(self, what: Asking, value: str) -> None:
        """Ask for something, of which ``value`` was said last."""
        self._asking = what
        self.placeholder = _PLACEHOLDERS[what]
        self.value = value
        self._show(True)
        self.focus()

    def _show(self, shown: bool) -> None:
        self.display = shown
        self.disabled = not shown  # else it could be given the keys while nobody sees it

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer."""
        event.stop()
        self._show(False)
        self.post_message(self.Closed())
        self.post_message(self.Answered(self._asking, event.value.strip()))

    def action_give_up(self) -> None:
        """Ask no longer."""
        self._show(False)
        self.post_message(self.Closed())
