"""Rows turned into what they have to teach. Preview and training convert with this same code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, Final

from tui_ft import text
from tui_ft.data.formats import Detection, FormatName
from tui_ft.data.items import (
    ASSISTANT,
    REASONING,
    AnyItem,
    Completion,
    Conversation,
    Document,
    Item,
    Judged,
    Labelled,
    Message,
    Pair,
    Prompt,
)
from tui_ft.data.messages import (
    UnusableRowError,
    are_messages,
    parsed,
    read_hh_dialogue,
    read_messages,
)
from tui_ft.data.problems import RowProblem
from tui_ft.data.rows import Row, type_name


def convert(row: Row, detection: Detection) -> AnyItem | RowProblem:
    """Return what ``row`` has to teach, or why it cannot be used."""
    try:
        return _CONVERTERS[detection.format](_Parts(row.values, detection.columns))
    except UnusableRowError as fault:
        return RowProblem(row.line, str(fault), fault.kind)


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
            raise UnusableRowError("the answer is empty", "empty-answer")
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
    document = _filled(parts, "text")
    turns = read_hh_dialogue(document)
    return Document(document) if turns is None else _conversation(parts, turns)


def _filled(parts: _Parts, part: str) -> str:
    """Return the text that plays ``part``, which must say something."""
    value = parts.text(part)
    if not value.strip():
        raise UnusableRowError(
            f"{parts.name(part)} is empty", "empty-prompt" if part == "prompt" else "empty-answer"
        )
    return value


def _convert_preference(parts: _Parts) -> Pair:
    sides = [_messages_or_text(parts.value(side)) for side in ("chosen", "rejected")]
    prompt = _messages_or_text(parts.value("prompt"))
    dialogues = [_dialogue(side) for side in sides]
    if all(dialogue is not None for dialogue in dialogues):
        return _whole_pair(parts, [dialogue or [] for dialogue in dialogues])
    if prompt is None:
        better, worse = parts.text("chosen"), parts.text("rejected")
        shared = _shared_text(better, worse)
        return Pair(*(_plain(shared, side[len(shared) :]) for side in (better, worse)))
    listed = any(isinstance(value, list | dict) for value in (prompt, *sides))
    if not listed and not parts.optional_text("system").strip():
        asked = parts.text("prompt")
        return Pair(*(_plain(asked, parts.text(side)) for side in ("chosen", "rejected")))
    before = _as_messages(parts, "prompt", prompt, "user", first=1)
    answered = []
    for side, value in zip(("chosen", "rejected"), sides, strict=True):
        answer = _as_messages(parts, side, value, ASSISTANT, first=len(before) + 1)
        answered.append(_conversation(parts, [*before, *answer], prompt_messages=len(before)))
    return Pair(*answered)


def _dialogue(side: object) -> list[Message] | None:
    """Return a whole dialogue, its questions included; None if there is only an answer."""
    if isinstance(side, str):
        return read_hh_dialogue(side)
    if not isinstance(side, list) or not are_messages(side):
        return None
    turns = read_messages(side)
    return turns if any(turn["role"] != ASSISTANT for turn in turns) else None


def _whole_pair(parts: _Parts, sides: list[list[Message]]) -> Pair:
    """Return two dialogues that share their beginning, which is the prompt."""
    shared = 0
    for one, two in zip(*sides, strict=False):
        if one != two:
            break
        shared += 1
    # Where both are the same, the last turn is the answer all the same.
    shared = min(shared, len(sides[0]) - 1, len(sides[1]) - 1)
    return Pair(*(_conversation(parts, side, prompt_messages=shared) for side in sides))


def _shared_text(one: str, two: str) -> str:
    """Return the beginning that two texts share, up to the last white space in it."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))
    shared = "".join([character for character, _ in pairs])
    return shared[: max(shared.rfind(" "), shared.rfind("\n")) + 1]


def _plain(prompt: str, answer: str) -> Completion:
    if not answer.strip():
        raise UnusableRowError("the answer is empty", "empty-answer")
    return Completion(prompt, answer)


def _convert_kto(parts: _Parts) -> Judged:
    answer = _convert_prompt_completion(parts)
    if isinstance(answer, Document):
        raise AssertionError("a prompt and its completion are no document")
    verdict = str(parts.value("label")).lower()
    if verdict not in _YES | _NO:
        raise UnusableRowError(f"{parts.name('label')} is neither true nor false")
    return Judged(answer, verdict in _YES)


def _convert_prompt_only(parts: _Parts) -> Prompt:
    asked = _messages_or_text(parts.value("prompt"))
    system = parts.optional_text("system")
    if not isinstance(asked, list | dict):
        plain = _filled(parts, "prompt")
        if not system.strip():
            return Prompt(plain, parts.tools())
        return Prompt((_said("system", system), _said("user", plain)), parts.tools())
    messages = _as_messages(parts, "prompt", asked, "user", first=1)
    if not messages or not any(str(message["content"]).strip() for message in messages):
        raise UnusableRowError(f"{parts.name('prompt')} is empty", "empty-prompt")
    if system.strip() and messages[0]["role"] != "system":
        messages = [_said("system", system), *messages]
    return Prompt(tuple(messages), parts.tools())


def _convert_text_label(parts: _Parts) -> Labelled:
    label = parts.value("label")
    if label is None or str(label) == "":
        raise UnusableRowError(f"{parts.name('label')} is missing")
    if not isinstance(label, str | int):
        raise UnusableRowError(f"{parts.name('label')} holds {type_name(label)}, not a class")
    return Labelled(_filled(parts, "text"), str(label))


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _conversation(parts: _Parts, messages: list[Message], prompt_messages: int = 0) -> Conversation:
    system = parts.optional_text("system")
    if system.strip() and messages[:1] and messages[0]["role"] != "system":
        messages = [_said("system", system), *messages]
        prompt_messages += bool(prompt_messages)
    whole = Conversation(tuple(messages), parts.tools(), prompt_messages)
    if not whole.learned_answers:
        raise UnusableRowError(
            "no message is the assistant's: there is nothing to learn", "no-answer"
        )
    empty = [n + 1 for n in whole.learned_answers if _is_empty(messages[n])]
    if empty:
        which = f" in message {empty[0]}" if len(whole.learned_answers) > 1 else ""
        raise UnusableRowError(f"the answer{which} is empty", "empty-answer")
    return whole


def _is_empty(message: Message) -> bool:
    said = (message.get(name) for name in ("tool_calls", *REASONING))
    return not (message["content"].strip() or any(said))


_YES: Final = frozenset(("true", "1", "yes"))
_NO: Final = frozenset(("false", "0", "no"))

_CONVERTERS: Final[Mapping[FormatName, Callable[[_Parts], AnyItem]]] = {
    "messages": _convert_messages,
    "alpaca": _convert_alpaca,
    "prompt_completion": _convert_prompt_completion,
    "text": _convert_text,
    "preference": _convert_preference,
    "kto": _convert_kto,
    "prompt_only": _convert_prompt_only,
    "text_label": _convert_text_label,
}
