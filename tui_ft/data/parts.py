"""A row's values by the parts they play, and conversations made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tui_ft import text
from tui_ft.data.files.rows import type_name
from tui_ft.data.items import ASSISTANT, REASONING, Completion, Conversation, Message
from tui_ft.data.messages import (
    UnusableRowError,
    are_messages,
    is_hh_dialogue,
    parsed,
    read_hh_dialogue,
    read_messages,
)
from tui_ft.data.problems import ProblemKind

TURNS: Final = (list, dict)
"""The types of a value that holds turns, or one."""

_KIND_OF_NONE: Final[Mapping[str, ProblemKind]] = {
    "completion": "no-answer",
    "output": "no-answer",
    "chosen": "no-answer",
    "rejected": "no-answer",
    "prompt": "empty-prompt",
    "instruction": "empty-prompt",
}


class Parts:
    """A row's values by the parts they play. Made for every row: nothing is done ahead."""

    __slots__ = ("_columns", "_values")

    def __init__(self, values: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        self._values = values
        self._columns = columns

    def __contains__(self, part: str) -> bool:
        return part in self._columns

    def name(self, part: str) -> str:
        """Return the column that plays ``part``, as it is shown."""
        return f"`{text.one_line(self._columns.get(part, part), 40)}`"

    def value(self, part: str) -> object:
        """Return the value that plays ``part``; None if there is none."""
        column = self._columns.get(part)
        return None if column is None else self._values.get(column)

    def text(self, part: str) -> str:
        """Return the text that plays ``part``, which has to be there."""
        column = self._columns.get(part)
        value = None if column is None else self._values.get(column)
        if isinstance(value, str):
            return value
        if value is None:
            kind = _KIND_OF_NONE.get(part, "bad-shape")
            raise UnusableRowError(f"{self.name(part)} is missing", kind)
        raise UnusableRowError(f"{self.name(part)} holds {type_name(value)}, not text")

    def optional_text(self, part: str) -> str:
        """Return the text that plays ``part``, or nothing."""
        return "" if self.value(part) is None else self.text(part)

    def system(self) -> str:
        """Return the system message that stands in a column of its own; empty for none."""
        if "system" not in self._columns:
            return ""
        said = self.optional_text("system")
        return said if said.strip() else ""

    def tools(self) -> tuple[Any, ...] | None:
        """Return the tools offered, which CSV files and many JSON ones hold as JSON text."""
        if "tools" not in self._columns:
            return None
        value = parsed(self.value("tools") or None)
        if value is None:
            return None
        if not isinstance(value, list):
            raise UnusableRowError(f"{self.name('tools')} is no list of tools")
        return tuple(value) or None

    def reference(self) -> str | None:
        """Return what is right, where a column of its own holds it, as text.

        JSON's values come as JSON writes them, a list of one as what is in it.
        """
        column = self._columns.get("reference")
        return None if column is None else as_reference(value_at(self._values, column))

    def question(self) -> str:
        """Return an instruction with its input.

        An empty input leaves no trace: a model shown empty "Input:" blocks learns to expect them.
        """
        instruction = self.text("instruction")
        given = self.optional_text("input")
        return f"{instruction}\n\n{given}" if given and given.strip() else instruction

    def messages(self, part: str, value: object, role: str, first: int = 1) -> list[Message]:
        """Return messages, or one message, or a text of the one whose part it is."""
        if isinstance(value, list):
            return read_messages(value, first)
        if isinstance(value, dict):
            return read_messages([value], first)
        return [said(role, self.text(part))]


def value_at(values: Mapping[str, Any], column: str) -> object:
    """Return what a column holds; `reward_model.ground_truth` is a value within another's."""
    found = values.get(column)
    if found is not None or "." not in column:
        return found
    outer, _, inner = column.partition(".")
    within = parsed(values.get(outer))
    return value_at(within, inner) if isinstance(within, dict) else None


def as_reference(value: object) -> str | None:
    """Return what is right as text; None where nothing is said."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or (isinstance(value, TURNS) and not value):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None  # so pandas writes that nothing is there
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # a number beyond 64 bits, or lists within lists without end
        return None


def said(role: str, content: str) -> Message:
    """Return a message."""
    return {"role": role, "content": content}


def messages_or_text(value: object) -> object:
    """Return the messages written as JSON in a text; any other JSON is a text like all others."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    found = parsed(value)
    return found if are_messages(found) else value


def turns_or_text(value: object) -> object:
    """Return the turns written in a text, as JSON or as in HH-RLHF; else the value."""
    if not isinstance(value, str):
        return value
    begin = value.lstrip()[:1]  # asked of every row: looked at once for both
    if begin == "[":
        return messages_or_text(value)
    return read_hh_dialogue(value) if begin == "H" and is_hh_dialogue(value) else value


def without_answer(turns: object) -> object:
    """Return a dialogue without the empty turn that asks for its answer, as HH-RLHF's end."""
    if isinstance(turns, list) and turns and turns[-1] == said(ASSISTANT, ""):
        return turns[:-1]
    return turns


def conversation(parts: Parts, messages: list[Message], prompt_messages: int = 0) -> Conversation:
    """Return the conversation, begun by the row's own system message if it has none.

    Raises:
        UnusableRowError: there is no answer to learn, or one that says nothing.
    """
    system = parts.system()
    if system and messages and messages[0]["role"] != "system":
        messages = [said("system", system), *messages]
        prompt_messages += bool(prompt_messages)
    whole = Conversation(tuple(messages), parts.tools(), prompt_messages, parts.reference())
    learned = 0
    empty = -1
    for number in range(prompt_messages, len(messages)):
        message = messages[number]
        if message["role"] != ASSISTANT or message.get("weight") == 0:
            continue
        learned += 1
        if empty < 0 and _is_empty(message):
            empty = number
    if not learned:
        raise UnusableRowError(
            "no message is the assistant's: there is nothing to learn", "no-answer"
        )
    if empty >= 0:
        which = f" in message {empty + 1}" if learned > 1 else ""
        raise UnusableRowError(f"the answer{which} is empty", "empty-answer")
    return whole


def completion(prompt: str, answer: str, reference: str | None = None) -> Completion:
    """Return a plain prompt and its answer, which must say something."""
    if not answer.strip():
        raise UnusableRowError("the answer is empty", "empty-answer")
    return Completion(prompt, answer, reference)


def _is_empty(message: Message) -> bool:
    if message["content"].strip():
        return False
    return not any(message.get(name) for name in ("tool_calls", *REASONING))
