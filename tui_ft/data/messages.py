"""Messages as people write them (OpenAI's, ShareGPT's) turned into one shape."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from tui_ft import text
from tui_ft.data.chat.tool_calls import with_object
from tui_ft.data.files.rows import type_name
from tui_ft.data.items import ASSISTANT, Message
from tui_ft.data.problems import ProblemKind

_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bing": ASSISTANT,
    "bard": ASSISTANT,
    "model": ASSISTANT,
    "bot": ASSISTANT,
    "function_call": ASSISTANT,
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "ipython": "tool",
}
_READ: Final = frozenset(("role", "from", "content", "value"))
_PLAIN_FIELDS: Final = 2

# How dialogues are written in Anthropic's HH-RLHF, each as one text.
_HH_BEGIN: Final = "Human:"
_HH_ANSWER: Final = "\n\nAssistant:"
_HH_TURN: Final = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):[ \t]*")


class UnusableRowError(Exception):
    """Why a row cannot be learned from; `kind` as in `RowProblem`."""

    def __init__(self, reason: str, kind: ProblemKind = "bad-shape") -> None:
        super().__init__(reason)
        self.kind: ProblemKind = kind


def is_hh_dialogue(value: object) -> bool:
    """Return whether ``value`` is a dialogue written as one text, as in HH-RLHF."""
    return isinstance(value, str) and value.lstrip().startswith(_HH_BEGIN) and _HH_ANSWER in value


def read_hh_dialogue(dialogue: str) -> list[Message]:
    """Return the turns of what `is_hh_dialogue`."""
    _, *parts = _HH_TURN.split(dialogue)
    speakers = {"Human": "user", "Assistant": ASSISTANT}
    return [
        {"role": speakers[who], "content": said.strip()}
        for who, said in zip(parts[::2], parts[1::2], strict=True)
    ]


def read_messages(turns: Sequence[object], first: int = 1) -> list[Message]:
    """Return messages with `role` and `content`, and every other field as it was.

    Arguments of tool calls become objects where they are the JSON text of one.

    Args:
        turns: OpenAI's `role`/`content` or ShareGPT's `from`/`value`.
        first: the number that the first is called by when something is wrong with it.

    Raises:
        UnusableRowError: a turn has no known role, or no text.
    """
    return [_read_message(number, turn) for number, turn in enumerate(turns, first)]


def speaker(turn: object) -> str | None:
    """Return the role of a turn as it was read from a file; None if it has none that is known."""
    if not isinstance(turn, dict):
        return None
    # Files put together from both shapes hold all four columns, some of them null.
    said = turn.get("from") if turn.get("role") is None else turn["role"]
    return _ROLES.get(str(said).lower())


def is_whole_dialogue(value: object) -> bool:
    """Return whether ``value`` is a list of turns with its questions, not only what answers one."""
    return isinstance(value, list) and bool(value) and speaker(value[0]) in ("user", "system")


def parsed(value: object) -> object:
    """Return the list or object written as JSON in a text, as CSV files have it; else the value."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def are_messages(value: object) -> bool:
    """Return whether ``value`` is a list of turns, and not a list of anything else."""
    return (
        isinstance(value, list)
        and bool(value)
        and all([isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in value])
    )


def _read_message(number: int, turn: object) -> Message:
    if not isinstance(turn, dict):
        raise UnusableRowError(f"message {number} is {type_name(turn)}, not an object")
    if _is_plain(turn):
        return turn
    role = speaker(turn)
    said = turn.get("from") if turn.get("role") is None else turn["role"]
    if role is None:
        raise UnusableRowError(
            f"message {number} has the unknown role `{text.one_line(str(said), 40)}`; "
            "known are system, user, assistant and tool",
            "unknown-role",
        )
    content = turn.get("value") if turn.get("content") is None else turn["content"]
    rest = {name: value for name, value in turn.items() if name not in _READ}
    if rest.get("tool_calls") is not None:
        rest["tool_calls"] = _checked_calls(number, rest["tool_calls"])
    if said == "function_call":
        return {"role": role, "content": "", "tool_calls": _read_calls(number, content), **rest}
    return {"role": role, "content": _read_content(number, role, content, rest), **rest}


def _is_plain(turn: dict[str, Any]) -> bool:
    """Return whether a turn can be left as it is: nearly all can."""
    return (
        len(turn) == _PLAIN_FIELDS
        and type(turn.get("content")) is str
        and turn.get("role") in ("user", ASSISTANT, "system", "tool")
    )


def _read_content(number: int, role: str, content: object, rest: dict[str, Any]) -> str:
    if content is None and rest.get("tool_calls"):
        return ""
    if isinstance(content, list):
        return _join_parts(number, content)
    if not isinstance(content, str):
        said = "has no content" if content is None else f"holds {type_name(content)}, not text"
        raise UnusableRowError(f"message {number} ({role}) {said}")
    return content


def _join_parts(number: int, parts: list[Any]) -> str:
    """Return the text of content given in parts, as in OpenAI's multi-modal messages."""
    texts = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    if len(texts) != len(parts) or not all(isinstance(part, str) for part in texts):
        raise UnusableRowError(f"message {number} holds more than text, which is not supported")
    return "".join(map(str, texts))


def _checked_calls(number: int, value: object) -> list[Any]:
    """Return a message's tool calls, which CSV files hold as JSON text."""
    calls = parsed(value) or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise UnusableRowError(f"message {number} has tool_calls that are no list of calls")
    return [with_object(call) for call in calls]


def _read_calls(number: int, value: object) -> list[dict[str, Any]]:
    """Return the tool calls that ShareGPT data hold as JSON text."""
    found = parsed(value)
    calls: list[Any] = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, dict) and call.get("name") for call in calls):
        raise UnusableRowError(
            f'message {number} (function_call) is not JSON like {{"name": …, "arguments": …}}'
        )
    return [{"type": "function", "function": with_object(call)} for call in calls]
