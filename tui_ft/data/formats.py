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
from tui_ft.data.messages import HUMAN, parsed
from tui_ft.data.problems import DataError
from tui_ft.data.rows import Row

FormatName = Literal[
    "messages",
    "prompt_completion",
    "alpaca",
    "text",
    "preference",
    "kto",
    "prompt_only",
    "text_label",
]

_OBJECTIVES: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("sft",),
    "prompt_completion": ("sft",),
    "alpaca": ("sft",),
    "text": ("pretraining", "sft"),
    "preference": ("dpo", "orpo", "cpo", "reward"),
    "kto": ("kto",),
    "prompt_only": ("grpo", "rloo", "ppo"),
    "text_label": ("classification",),
}


def objectives_of(format: str) -> tuple[str, ...]:
    """Return what rows of a format can be used for, the likeliest first."""
    return _OBJECTIVES.get(format, ())


@dataclass(frozen=True, slots=True)
class Detection:
    """A format, and why it was taken.

    Attributes:
        format: its name.
        reason: why, in words.
        columns: which column plays which part.
        confidence: the share of the rows looked at that have the format's columns, in a type that
            they can have.
        style: what people call it: `ShareGPT`, `question and answer`, …
        others: formats that would fit as well.
    """

    format: FormatName
    reason: str
    columns: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 1.0
    style: str = ""
    others: tuple[FormatName, ...] = ()


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
        "preference",
        {
            "chosen": ("chosen", "accepted", "response_chosen", "chosen_response"),
            "rejected": ("rejected", "response_rejected", "rejected_response"),
        },
        {
            "prompt": ("prompt", "conversations", "messages", "instruction", "question", "input"),
            "system": ("system",),
            "tools": ("tools",),
        },
    ),
    _Format(
        "kto",
        {
            "prompt": ("prompt", "question", "instruction"),
            "completion": ("completion", "response", "answer"),
            "label": ("label", "kto_tag"),
        },
        {"system": ("system",), "tools": ("tools",)},
    ),
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
    _Format(
        "text_label",
        {
            "text": ("text", "sentence", "review", "content", "document"),
            "label": ("label", "labels", "class", "category", "sentiment"),
        },
    ),
    _Format(
        "prompt_only",
        {"prompt": ("prompt", "question", "query", "instruction")},
        {"system": ("system",), "tools": ("tools",)},
    ),
    _Format("text", {"text": ("text", "content", "document")}),
)
_MOST_CLASSES: Final = 50
_LONGEST_LABEL: Final = 60
_YES_AND_NO: Final = frozenset(("true", "false", "0", "1", "yes", "no"))
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
    fitting = [(form, found) for form in candidates if (found := _find(form, mapping, rows))]
    # A question without its answer fits whatever has one: only where nothing else does.
    fitting = [it for it in fitting if it[0].name != "prompt_only"] or fitting
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


def sft_refusal(detection: Detection) -> str | None:
    """Return why supervised fine-tuning cannot learn from such rows, and what to do; else None."""
    if "sft" in objectives_of(detection.format):
        return None
    columns = detection.columns
    match detection.format:
        case "preference":
            prompt = columns.get("prompt")
            chosen = columns["chosen"]
            way = f"prompt: {prompt}, completion: {chosen}" if prompt else f"messages: {chosen}"
            return (
                "the rows hold preferences (`chosen` and `rejected`), and supervised fine-tuning "
                "learns from one answer. To learn from the chosen ones, set data.columns to "
                f"{{{way}}}"
            )
        case "kto":
            return (
                "the rows hold answers judged good or bad, and supervised fine-tuning would learn "
                f"the bad ones too: keep the rows whose `{columns['label']}` is true"
            )
        case "text_label":
            return (
                "the rows hold texts with a class, which is for classification; to learn to answer "
                f"with the class, set data.columns to {{prompt: {columns['text']}, completion: "
                f"{columns['label']}}}"
            )
        case _:
            return (
                "the rows hold prompts without answers: nothing to learn from in supervised "
                "fine-tuning. Map the answers' column with data.columns, such as "
                "{completion: answer}"
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
            usable = _usable(form.name, part, name, rows)
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
    if part in ("prompt", "completion", "chosen", "rejected"):
        return isinstance(value, str | list | dict)
    if part == "label":
        return isinstance(value, int) or (isinstance(value, str) and len(value) <= _LONGEST_LABEL)
    return isinstance(value, str)


def _usable(format: FormatName, part: str, name: str, rows: Sequence[Row]) -> int:
    """Return in how many rows a column can play a part."""
    values = [value for row in rows if _may_be(part, value := row.values.get(name))]
    if part != "label":
        return len(values)
    distinct = {str(value).lower() for value in values}
    if format == "kto":
        return len(values) if distinct <= _YES_AND_NO else 0
    # More classes than that, or one for nearly each row, and it is no class.
    few = len(distinct) <= min(_MOST_CLASSES, max(2, len(values) / 2))
    return len(values) if few else 0


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
    return Detection(form.name, reason, found, share, _style(form.name, found, rows), tuple(others))


def _style(  # noqa: PLR0911 - one for each format
    format: FormatName, found: Mapping[str, str], rows: Sequence[Row]
) -> str:
    """Return what people call rows laid out so, by the first of them."""
    first = rows[0].values if rows else {}
    match format:
        case "messages":
            turns = parsed(first.get(found["messages"]))
            turn = turns[0] if isinstance(turns, list) and turns else None
            share = isinstance(turn, dict) and "from" in turn
            return ("ShareGPT" if share else "messages") + (
                " with tools" if "tools" in found else ""
            )
        case "alpaca":
            names = found["instruction"], found["output"]
            return "Alpaca" if names == ("instruction", "output") else " and ".join(names)
        case "preference":
            chosen = first.get(found["chosen"])
            if isinstance(chosen, str) and chosen.lstrip().startswith(HUMAN):
                return "preference pairs, HH-RLHF dialogues"
            prompt = "explicit" if "prompt" in found else "implicit"
            listed = isinstance(chosen, list | dict)
            return f"preference pairs, {prompt} prompt" + (", conversational" if listed else "")
        case "kto":
            return "answers judged good or bad (KTO)"
        case "prompt_only":
            return "prompts only"
        case "text_label":
            return "text and label"
        case "prompt_completion":
            return "prompt and completion"
        case "text":
            text_of_first = first.get(found["text"])
            is_hh = isinstance(text_of_first, str) and text_of_first.lstrip().startswith(HUMAN)
            return "HH-RLHF dialogues" if is_hh else "plain text"


def _listed(names: Sequence[str]) -> str:
    """Return column names in words: harmless to show, and not more than a person reads."""
    shown = [text.one_line(name, 40) or "``" for name in names[:_NAMES_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "") or "none"


def _known() -> str:
    forms = "; ".join(f"{f.name} ({', '.join(f.required)})" for f in _FORMATS)
    return f"known are: {forms}"
