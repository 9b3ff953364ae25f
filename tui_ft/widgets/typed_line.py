"""A line that is typed at the foot of a screen, and says with which keys it is left."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.keys import key_to_character
from textual.widgets import Input


class TypedLine(Input):
    """An input whose keys stand on the last line; the screen's `action_back` leaves it."""

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Take it", id="typed.take", tooltip="Take what was typed"),
        Binding("escape", "screen.back", "Leave", id="typed.leave", tooltip="Leave it as it is"),
    ]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Take every key that is a letter or a sign, so that no other meaning of it is offered."""
        return super().check_consume_key(key, character or key_to_character(key))
