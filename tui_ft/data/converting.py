"""Rows turned into what they have to teach. Preview and training convert with this same code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tui_ft import text
from tui_ft.data.formats import Detection, FormatName
from tui_ft.data.items import (
    ASSISTANT,
    REASONING,
    Completion,
    Conversation,
    Document,
    Item,
    Message,
)
from tui_ft.data.messages import UnusableRowError, are_messages, parsed, read_messages
from tui_ft.data.problems import RowProblem
from tui_ft.data.rows import Row, type_name


def convert(row: Row, detection: Detection) -> Item | RowProblem:
    """Return what ``row`` has to teach, or why it cannot be used."""
    try:
        return _CONVERTERS[detection.format](_Parts(row.values, detection.columns))
    except UnusableRowError as fault:
        return RowProblem(row.line, str(fault))


class _Parts:
    """A row's values by the parts they play."""

    def __init__(self, values: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        self._values = values
        self._columns = columns

    def name(self, part: str) -> str:
        """Return the column that plays ``part``, as it is shown."""
        return f"`{text.one_line(self._columns[part], 40)}`"

    def value(self, part: str) -> object:
        """Return the value that plays ``part``; None if there is none."""
        return self._values.get(self._columns[part]) if part in self._columns else None

    def text(self, part: str) -> str:
        """Return the text that plays ``part``, which has to be there."""
        value = self.value(part)
        if value is None:
            raise UnusableRowError(f"{self.name(part)} is missing")
        if not isinstance(value, str):
            raise UnusableRowError(f"{self.name(part)} holds {type_name(value)}, not text")
        return value

    def optional_text(self, part: str) -> str:
        """Return the text that plays ``part``, or nothing."""
        return "" if self.value(part) is None else self.text(part)

    def tools(self) -> tuple[Any, ...] | None:
        """Return the tools offered, which CSV files and many JSON ones hold as JSON text."""
        value = parsed(self.value("tools") or None)
        if value is None:
            return None
        if not isinstance(value, list):
            raise UnusableRowError(f"{self.name('tools')} is no list of tools")
        return tuple(value) or None


def _convert_messages(parts: _Parts) -> Item:
    turns = parsed(parts.value("messages"))
    if not isinstance(turns, list) or not turns:
        raise UnusableRowError(f"{parts.name('messages')} is no list of messages")
    return _conversation(parts, read_messages(turns))


def _convert_alpaca(parts: _Parts) -> Item:
    instruction, given = parts.text("instruction"), parts.optional_text("input")
    # An empty input leaves no trace: a model shown empty "Input:" blocks learns to expect them.
    user = f"{instruction}\n\n{given}" if given.strip() else instruction
    return _conversation(parts, [_said("user", user), _said(ASSISTANT, parts.text("output"))])


def _convert_prompt_completion(parts: _Parts) -> Item:
    prompt, completion = (_messages_or_text(parts.value(p)) for p in ("prompt", "completion"))
    listed = isinstance(prompt, list | dict) or isinstance(completion, list | dict)
    if not listed and not parts.optional_text("system").strip():
        before, after = parts.text("prompt"), parts.text("completion")
        if not after.strip():
            raise UnusableRowError("the answer is empty")
        return Completion(before, after)
    before_it = _as_messages(parts, "prompt", prompt, "user", first=1)
    answer = _as_messages(parts, "completion", completion, ASSISTANT, first=len(before_it) + 1)
    return _conversation(parts, [*before_it, *answer], prompt_messages=len(before_it))


def _messages_or_text(value: object) -> object:
    """Return the messages written as JSON in a text; any other JSON is a text like all others."""
    return found if isinstance(value, str) and are_messages(found := parsed(value)) else value


def _as_messages(parts: _Parts, part: str, value: object, role: str, first: int) -> list[Message]:
    """Return messages, or one message, or a text of the one whose part it is."""
    if isinstance(value, list | dict):
        return read_messages(value if isinstance(value, list) else [value], first)
    return [_said(role, parts.text(part))]


def _convert_text(parts: _Parts) -> Item:
    document = parts.text("text")
    if not document.strip():
        raise UnusableRowError(f"{parts.name('text')} is empty")
    return Document(document)


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _conversation(parts: _Parts, messages: list[Message], prompt_messages: int = 0) -> Conversation:
    system = parts.optional_text("system")
    if system.strip() and messages[:1] and messages[0]["role"] != "system":
        messages = [_said("system", system), *messages]
        prompt_messages += bool(prompt_messages)
    whole = Conversation(tuple(messages), parts.tools(), prompt_messages)
    if not whole.learned_answers:
        raise UnusableRowError("no message is the assistant's: there is nothing to learn")
    empty = [n + 1 for n in whole.learned_answers if _is_empty(messages[n])]
    if empty:
        which = f" in message {empty[0]}" if len(whole.learned_answers) > 1 else ""
        raise UnusableRowError(f"the answer{which} is empty")
    return whole


def _is_empty(message: Message) -> bool:
    said = (message.get(name) for name in ("tool_calls", *REASONING))
    return not (message["content"].strip() or any(said))


_CONVERTERS: Final[Mapping[FormatName, Callable[[_Parts], Item]]] = {
    "messages": _convert_messages,
    "alpaca": _convert_alpaca,
    "prompt_completion": _convert_prompt_completion,
    "text": _convert_text,
}
