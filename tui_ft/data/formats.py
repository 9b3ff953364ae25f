"""The formats people keep training rows in, found by themselves and turned into one shape.

A row becomes a `Conversation` (messages, rendered by the model's chat template), a `Completion`
(plain prompt and continuation) or a `Document` (plain text). Preview and training convert with the
same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tui_ft.data.problems import DataError, RowProblem
from tui_ft.data.reading import Row

FormatName = Literal["messages", "prompt_completion", "alpaca", "text"]

Message = Mapping[str, Any]
"""One turn: `role`, `content`, and whatever else a template may use (tool_calls, reasoning)."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns for the chat template, and the tools offered.

    Attributes:
        prompt_messages: how many messages at the start are only context: what the assistant says in
            them is not learned (the prompt of a prompt/completion row, as in TRL).
    """

    messages: tuple[Message, ...]
    tools: tuple[Any, ...] | None = None
    prompt_messages: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A plain prompt and what follows it; no template."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Document:
    """Plain text, learned whole; no template."""

    text: str


Item = Conversation | Completion | Document


@dataclass(frozen=True, slots=True)
class Detection:
    """A format, and why it was taken.

    Attributes:
        columns: which column plays which part.
        confidence: the share of the rows looked at that have the format's columns.
    """

    format: FormatName
    reason: str
    columns: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class _Format:
    """What a format needs: its parts, and the column names each is known by, commonest first."""

    name: FormatName
    required: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# In order: what says most about a row is asked for first. `messages` before all others, for a row
# that carries the rendered text as well; `text` last, for nearly anything may have such a column.
_FORMATS: Final = (
    _Format(
        "messages",
        {"messages": ("messages", "conversations", "conversation", "dialogue", "chat")},
        {"tools": ("tools", "functions"), "system": ("system",)},
    ),
    _Format(
        "alpaca",
        {
            "instruction": ("instruction", "question", "query"),
            "output": ("output", "response", "answer"),
        },
        {"input": ("input", "context"), "system": ("system",)},
    ),
    _Format(
        "prompt_completion",
        {"prompt": ("prompt",), "completion": ("completion", "response", "answer", "output")},
        {"system": ("system",), "tools": ("tools",)},
    ),
    _Format("text", {"text": ("text", "content", "document")}),
)

_ROLES: Final = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
}


def detect(
    rows: Sequence[Row],
    format: FormatName | Literal["auto"] = "auto",
    columns: Mapping[str, str] | None = None,
) -> Detection:
    """Return the format of ``rows`` and which columns play which part.

    A mapping given by a person wins over names; a format given by a person over detection.

    Args:
        rows: the first rows of the file; at least one.
        format: the format, when it is known.
        columns: part -> column, such as ``{"prompt": "question"}``.

    Raises:
        DataError: no format fits, a mapped column is not there, or a part is unknown.
    """
    mapping = dict(columns or {})
    present = {name: sum(name in row.values for row in rows) for row in rows for name in row.values}
    _check_mapping(mapping, present)
    candidates = [f for f in _FORMATS if format in ("auto", f.name)]
    if mapping and format == "auto":
        candidates = [f for f in candidates if set(mapping) <= {*f.required, *f.optional}]
        if not candidates:
            parts = ", ".join(sorted(mapping))
            raise DataError(f"no format has the parts {parts} of data.columns; {_known()}")
    for form in candidates:
        found = _find_columns(form, mapping, present, len(rows))
        if found is not None:
            return _detected(form, found, rows, mapping)
    names = ", ".join(sorted(present)) or "none"
    wanted = "" if format == "auto" else f" {format}"
    raise DataError(
        f"the rows are of no known{wanted} format: their columns are {names}. {_known()}. "
        "Name the columns with data.columns, such as {prompt: question, completion: answer}"
    )


def convert(row: Row, detection: Detection) -> Item | RowProblem:
    """Return what ``row`` has to teach, or why it cannot be used."""
    try:
        return _CONVERTERS[detection.format](row.values, detection.columns)
    except _Unusable as fault:
        return RowProblem(row.line, str(fault))


def _check_mapping(mapping: Mapping[str, str], present: Mapping[str, int]) -> None:
    for part, column in mapping.items():
        if column not in present:
            names = ", ".join(sorted(present))
            raise DataError(f"data.columns.{part}: no row has a column `{column}`; it has: {names}")


def _find_columns(
    form: _Format, mapping: Mapping[str, str], present: Mapping[str, int], rows: int
) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for part, names in {**form.required, **form.optional}.items():
        common = [n for n in names if present.get(n, 0) * 2 > rows and n not in found.values()]
        chosen = mapping.get(part) or (common[0] if common else None)
        if chosen is not None:
            found[part] = chosen
        elif part in form.required:
            return None
    return found


def _detected(
    form: _Format, found: dict[str, str], rows: Sequence[Row], mapping: Mapping[str, str]
) -> Detection:
    needed = [found[part] for part in form.required]
    share = sum(all(name in row.values for name in needed) for row in rows) / len(rows)
    how = "as data.columns says" if mapping else f"{share:.0%} of rows have"
    names = ", ".join(f"`{name}`" for name in needed)
    return Detection(form.name, f"{how} {names}", found, share)


def _known() -> str:
    forms = "; ".join(f"{f.name} ({', '.join(f.required)})" for f in _FORMATS)
    return f"known are: {forms}"


class _Unusable(Exception):
    """Why a row cannot be learned from."""


def _convert_messages(values: Mapping[str, Any], columns: Mapping[str, str]) -> Item:
    turns = values.get(columns["messages"])
    if not isinstance(turns, list) or not turns:
        raise _Unusable(f"`{columns['messages']}` is no list of messages")
    messages = [_message(number, turn) for number, turn in enumerate(turns, start=1)]
    system = _optional_text(values, columns, "system")
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    return _conversation(messages, values, columns)


def _message(number: int, turn: object) -> Message:
    if not isinstance(turn, dict):
        raise _Unusable(f"message {number} is no object")
    said = turn.get("role", turn.get("from"))
    role = _ROLES.get(str(said).lower())
    if role is None:
        raise _Unusable(f"message {number} has the unknown role `{said}`")
    content = turn.get("content", turn.get("value"))
    if content is None and not turn.get("tool_calls"):
        raise _Unusable(f"message {number} ({role}) has no content")
    if content is not None and not isinstance(content, str | list):
        raise _Unusable(f"message {number} ({role}) holds a {type(content).__name__}, not text")
    if isinstance(content, list):
        content = _joined_parts(number, content)
    rest = {k: v for k, v in turn.items() if k not in ("role", "from", "content", "value")}
    return {"role": role, "content": content or "", **rest}


def _joined_parts(number: int, parts: list[Any]) -> str:
    """Return the text of content given in parts, as in OpenAI's multi-modal messages."""
    texts = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    if len(texts) != len(parts) or not all(isinstance(t, str) for t in texts):
        raise _Unusable(f"message {number} holds more than text, which is not supported")
    return "".join(str(t) for t in texts)


def _convert_alpaca(values: Mapping[str, Any], columns: Mapping[str, str]) -> Item:
    instruction = _text(values, columns["instruction"])
    given = _optional_text(values, columns, "input")
    # An empty input leaves no trace: a model shown empty "Input:" blocks learns to expect them.
    user = f"{instruction}\n\n{given}" if given.strip() else instruction
    messages = [
        {"role": "user", "content": user},
        {"role": "assistant", "content": _text(values, columns["output"])},
    ]
    return _with_system(messages, values, columns)


def _convert_prompt_completion(values: Mapping[str, Any], columns: Mapping[str, str]) -> Item:
    prompt, completion = values.get(columns["prompt"]), values.get(columns["completion"])
    if isinstance(prompt, list) and isinstance(completion, list):
        both = [*prompt, *completion]
        messages = [_message(number, turn) for number, turn in enumerate(both, start=1)]
        return _conversation(messages, values, columns)
    before, after = _text(values, columns["prompt"]), _text(values, columns["completion"])
    system = _optional_text(values, columns, "system")
    if system:
        turns = [{"role": "user", "content": before}, {"role": "assistant", "content": after}]
        return _with_system(turns, values, columns)
    if not after.strip():
        raise _Unusable("the answer is empty")
    return Completion(before, after)


def _convert_text(values: Mapping[str, Any], columns: Mapping[str, str]) -> Item:
    text = _text(values, columns["text"])
    if not text.strip():
        raise _Unusable(f"`{columns['text']}` is empty")
    return Document(text)


def _with_system(
    messages: list[dict[str, str]], values: Mapping[str, Any], columns: Mapping[str, str]
) -> Item:
    system = _optional_text(values, columns, "system")
    if system.strip():
        messages.insert(0, {"role": "system", "content": system})
    return _conversation(messages, values, columns)


def _conversation(
    messages: Sequence[Message], values: Mapping[str, Any], columns: Mapping[str, str]
) -> Conversation:
    answers = [m for m in messages if m["role"] == "assistant"]
    if not answers:
        raise _Unusable("no message is the assistant's: there is nothing to learn")
    if not any(str(m["content"]).strip() or m.get("tool_calls") for m in answers):
        raise _Unusable("the answer is empty")
    tools = values.get(columns["tools"]) if "tools" in columns else None
    if tools is not None and not isinstance(tools, list):
        raise _Unusable(f"`{columns['tools']}` is no list of tools")
    return Conversation(tuple(messages), tuple(tools) if tools else None)


def _text(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if value is None:
        raise _Unusable(f"`{column}` is missing")
    if not isinstance(value, str):
        raise _Unusable(f"`{column}` holds a {type(value).__name__}, not text")
    return value


def _optional_text(values: Mapping[str, Any], columns: Mapping[str, str], part: str) -> str:
    value = values.get(columns[part]) if part in columns else None
    return value if isinstance(value, str) else ""


_CONVERTERS: Final[Mapping[FormatName, Callable[[Mapping[str, Any], Mapping[str, str]], Item]]] = {
    "messages": _convert_messages,
    "alpaca": _convert_alpaca,
    "prompt_completion": _convert_prompt_completion,
    "text": _convert_text,
}
