"""The formats people keep training rows in, and how one is told from the other.

A row of `messages` or `alpaca` becomes a conversation, rendered by the model's chat template; one
of `prompt_completion` a plain prompt and its continuation (or a conversation, if it holds
messages); one of `text` a plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tui_ft import text
from tui_ft.data.messages import parsed
from tui_ft.data.problems import DataError
from tui_ft.data.rows import Row

FormatName = Literal["messages", "prompt_completion", "alpaca", "text"]


@dataclass(frozen=True, slots=True)
class Detection:
    """A format, and why it was taken.

    Attributes:
        format: its name.
        reason: why, in words.
        columns: which column plays which part.
        confidence: the share of the rows looked at that have the format's columns, in a type that
            they can have.
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


# In order: what says most about a row is asked for first. `messages` says who speaks, and is often
# kept beside the text rendered from it; `alpaca` tells instruction from input, where
# `prompt_completion` is only two strings; `text` comes last, for nearly anything has such a column.
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
_NAMES_SHOWN: Final = 12
_PROMPTS: Final = ("prompt", "conversations", "messages", "instruction", "question")


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
    candidates = _candidates(format, mapping)
    present = sorted({name for row in rows for name in row.values})
    _check_mapping(mapping, present)
    if not mapping and format == "auto":
        _refuse_preferences(rows, present)
    fitting = [(form, found) for form in candidates if (found := _find(form, mapping, rows))]
    if fitting:
        (form, found), *others = fitting
        return _detected(form, found, rows, mapping, [other.name for other, _ in others])
    wanted = "" if format == "auto" else f" {format}"
    raise DataError(
        f"the rows are of no known{wanted} format: their columns are "
        f"{_listed(present)}. {_known()}. "
        "Name the columns with data.columns, such as {prompt: question, completion: answer}"
    )


def _candidates(format: FormatName | Literal["auto"], mapping: Mapping[str, str]) -> list[_Format]:
    """Return the formats that have all the parts a person named, of those asked for."""
    asked = [form for form in _FORMATS if format in ("auto", form.name)]
    able = [form for form in asked if set(mapping) <= {*form.required, *form.optional}]
    if not able:
        parts = ", ".join(sorted(mapping))
        which = "no format has" if format == "auto" else f"the format {format} does not have"
        raise DataError(f"{which} the parts {parts} of data.columns; {_known()}")
    return able


def _check_mapping(mapping: Mapping[str, str], present: Sequence[str]) -> None:
    for part, column in mapping.items():
        if column not in present:
            raise DataError(
                f"data.columns.{part}: no row has a column `{column}`; they have: "
                f"{_listed(present)}"
            )


def _refuse_preferences(rows: Sequence[Row], present: Sequence[str]) -> None:
    """Refuse pairs of a better and a worse answer, and say how to learn from the better ones."""
    pairs = sum({"chosen", "rejected"} <= set(row.values) for row in rows)
    if pairs * 2 <= len(rows):
        return
    prompt = next((name for name in _PROMPTS if name in present), None)
    way = f"prompt: {prompt}, completion: chosen" if prompt else "messages: chosen"
    raise DataError(
        "the rows hold preferences (`chosen` and `rejected`), and supervised fine-tuning learns "
        f"from one answer. To learn from the chosen ones, set data.columns to {{{way}}}"
    )


def _find(form: _Format, mapping: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str] | None:
    """Return which column plays which part, None if a part is missing.

    A required part stands in most rows, in a type that it can have; an optional one in any.
    """
    found: dict[str, str] = {}
    for part, names in {**form.required, **form.optional}.items():
        least = len(rows) / 2 if part in form.required else 0
        chosen = mapping.get(part)
        for name in names if chosen is None else ():
            usable = sum(_may_be(part, row.values.get(name)) for row in rows)
            if usable > least and name not in found.values():
                chosen = name
                break
        if chosen is not None:
            found[part] = chosen
        elif part in form.required:
            return None
    return found


def _may_be(part: str, value: object) -> bool:
    """Return whether ``value`` has a type that ``part`` can have."""
    if part in ("messages", "tools"):
        return isinstance(parsed(value), list) and bool(value)
    if part in ("prompt", "completion"):
        return isinstance(value, str | list | dict)
    return isinstance(value, str)


def _detected(
    form: _Format,
    found: dict[str, str],
    rows: Sequence[Row],
    mapping: Mapping[str, str],
    others: Sequence[FormatName],
) -> Detection:
    parts = list(form.required)
    usable = sum(all(_may_be(p, row.values.get(found[p])) for p in parts) for row in rows)
    share = usable / len(rows) if rows else 0.0
    names = ", ".join(f"`{text.one_line(found[part], 40)}`" for part in parts)
    reason = f"{text.percent(share)} of rows have {names}"
    if mapping:
        reason = f"as data.columns says; {reason}"
    if others:
        reason += f"; {', '.join(others)} would fit as well, but says less of a row"
    return Detection(form.name, reason, found, share)


def _listed(names: Sequence[str]) -> str:
    """Return column names in words: harmless to show, and not more than a person reads."""
    shown = [text.one_line(name, 40) or "``" for name in names[:_NAMES_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "") or "none"


def _known() -> str:
    forms = "; ".join(f"{f.name} ({', '.join(f.required)})" for f in _FORMATS)
    return f"known are: {forms}"
