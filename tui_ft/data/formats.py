"""How one format is told from another: by the names of the columns and what stands in them.

A row of `messages` or `alpaca` becomes a conversation, rendered by the model's chat template; one
of `prompt_completion` a plain prompt and its continuation (or a conversation, if it holds
messages); one of `text` a plain text, or the dialogue written in it; one of `preference`, `kto`,
`prompt_only` or `text_label` what their objectives need. See `items`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tui_ft import text
from tui_ft.data.files.rows import Row
from tui_ft.data.format_table import FORMATS, Format, known_formats
from tui_ft.data.messages import is_hh_dialogue, parsed, speaker
from tui_ft.data.parts import as_reference, value_at
from tui_ft.data.problems import DataError
from tui_ft.vocabulary import FormatName

_MOST_CLASSES: Final = 200
_LONGEST_LABEL: Final = 60
_VERDICTS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_VERDICT_SHARE: Final = 0.95
_REFERENCE_SHARE: Final = 0.9
"""Rows of which fewer say what is right would be compared now with this, now with their answer."""
_NAMES_SHOWN: Final = 12


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
    if fitting:
        (form, found), *others = fitting
        # A question without its answer fits whatever has one: that is no news.
        quiet = ("prompt_only", form.name)
        also = dict.fromkeys(other.name for other, _ in others if other.name not in quiet)
        return _detected(form, found, rows, mapping, tuple(also))
    wanted = "" if format == "auto" else f" {format}"
    raise DataError(
        f"the rows are of no known{wanted} format: their columns are "
        f"{_listed(present)}. {known_formats()}. "
        "Name the columns with data.columns, such as {prompt: question, completion: answer}"
    )


def verdict(value: object) -> bool | None:
    """Return whether a label says good or bad; None if it says neither."""
    if isinstance(value, bool):
        return value
    return _VERDICTS.get(str(value).strip().lower()) if isinstance(value, str | int) else None


def _candidates(format: FormatName | Literal["auto"], mapping: Mapping[str, str]) -> list[Format]:
    """Return the formats that have all the parts a person named, of those asked for.

    Those whose parts were all named come first: who maps a prompt and a completion wants these
    two, though a column `label` stands beside them.
    """
    asked = [form for form in FORMATS if format in ("auto", form.name)]
    able = [form for form in asked if set(mapping) <= {*form.required, *form.optional}]
    if not able:
        parts = ", ".join(sorted(mapping))
        which = "no format has" if format == "auto" else f"the format {format} does not have"
        raise DataError(f"{which} the parts {parts} of data.columns; {known_formats()}")
    guessed = {id(form): bool(set(form.required) - set(mapping)) for form in able}
    return sorted(able, key=lambda form: guessed[id(form)] or form.name == "prompt_only")


def _check_mapping(mapping: Mapping[str, str], present: Sequence[str]) -> None:
    for part, column in mapping.items():
        outer = column.partition(".")[0] if part == "reference" else column
        if column not in present and outer not in present:
            raise DataError(
                f"data.columns.{part}: no row has a column `{text.one_line(column, 40)}`; "
                f"they have: {_listed(present)}"
            )


def _find(form: Format, mapping: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str] | None:
    """Return which column plays which part, None if a part is missing.

    A required part stands in most rows, in a type that it can have; an optional one in any.
    """
    found: dict[str, str] = {}
    for part, names in {**form.required, **form.optional}.items():
        chosen = mapping.get(part)
        if chosen is None:
            free = [name for name in names if name not in found.values()]
            chosen = _first_usable(form, part, free, rows)
        if chosen is not None:
            found[part] = chosen
        elif part in form.required:
            return None
    return found


def _first_usable(form: Format, part: str, names: Sequence[str], rows: Sequence[Row]) -> str | None:
    """Return the first column that can play a part in rows enough."""
    if part == "reference":
        least = _REFERENCE_SHARE * len(rows)
        return next((name for name in names if _filled(name, rows) >= least), None)
    least = len(rows) / 2 if part in form.required else 0
    usable = [name for name in names if _usable(form, part, name, rows) > least]
    if len(usable) > 1:  # many a set has a column that is there and says nothing
        return next((name for name in usable if _filled(name, rows) > least), usable[0])
    return usable[0] if usable else None


def _filled(name: str, rows: Sequence[Row]) -> int:
    """Return in how many rows a column says something."""
    return sum(as_reference(value_at(row.values, name)) is not None for row in rows)


def _usable(form: Format, part: str, name: str, rows: Sequence[Row]) -> int:
    """Return in how many rows a column can play a part."""
    present = [value for row in rows if (value := row.values.get(name)) is not None]
    values = [value for value in present if _may_be(form, part, value)]
    if part != "label":
        return len(values)
    if form.name == "kto":
        return len(values) if len(values) >= len(present) * _VERDICT_SHARE else 0
    # More classes than that, or one for nearly each row, and it is no class.
    distinct = {str(value) for value in values}
    few = len(distinct) <= min(_MOST_CLASSES, max(2, len(values) / 2))
    return len(values) if few else 0


def _may_be(form: Format, part: str, value: object) -> bool:
    """Return whether ``value`` has a type that ``part`` can have."""
    match part:
        case "messages":
            turns = parsed(value)
            listed = isinstance(turns, list) and bool(turns)
            return listed and (not form.asks_in_messages or _ends_with_user(turns))
        case "tools":
            return isinstance(parsed(value), list) and bool(value)
        case "prompt" | "completion" | "chosen" | "rejected":
            return isinstance(value, str | list | dict)
        case "label":
            return verdict(value) is not None if form.name == "kto" else _may_be_class(value)
        case _:
            return isinstance(value, str)


def _ends_with_user(turns: object) -> bool:
    return isinstance(turns, list) and speaker(turns[-1]) == "user"


def _may_be_class(value: object) -> bool:
    short = isinstance(value, str) and 0 < len(value) <= _LONGEST_LABEL
    return short or isinstance(value, int)


def _detected(
    form: Format,
    found: dict[str, str],
    rows: Sequence[Row],
    mapping: Mapping[str, str],
    others: tuple[FormatName, ...],
) -> Detection:
    usable = [row for row in rows if _is_usable(form, found, row)]
    share = len(usable) / len(rows) if rows else 0.0
    names = ", ".join(f"`{text.one_line(found[part], 40)}`" for part in form.required)
    reason = f"{text.percent(share)} of rows have {names}"
    if mapping:
        reason = f"as data.columns says; {reason}"
    if form.asks_in_messages:
        reason += ", ending with the user"
    if form.name == "text_label":
        classes = {str(row.values[found["label"]]) for row in usable}
        reason += f", a label of {len(classes)} values"
    if others:
        reason += f"; {', '.join(others)} would fit as well, but says less of a row"
    first = usable[0].values if usable else rows[0].values if rows else {}
    return Detection(form.name, reason, found, share, _style(form, found, first), others)


def _is_usable(form: Format, found: Mapping[str, str], row: Row) -> bool:
    return all(_may_be(form, part, row.values.get(found[part])) for part in form.required)


def _style(form: Format, found: Mapping[str, str], row: Mapping[str, object]) -> str:
    """Return what people call rows laid out as this one."""
    match form.name:
        case "messages":
            called = "ShareGPT" if _is_sharegpt(row.get(found["messages"])) else "messages"
            return f"{called} with tools" if "tools" in found else called
        case "alpaca":
            names = found["instruction"], found["output"]
            called = "Alpaca" if names == ("instruction", "output") else " and ".join(names)
            return text.one_line(called, 80)
        case "preference":
            return _style_of_pairs(found, row.get(found["chosen"]))
        case "text" if is_hh_dialogue(row.get(found["text"])):
            return "HH-RLHF dialogues"
        case _:
            return _STYLES[form.name]


_STYLES: Final[Mapping[FormatName, str]] = {
    "kto": "answers judged good or bad (KTO)",
    "prompt_only": "prompts only",
    "text_label": "text and label",
    "prompt_completion": "prompt and completion",
    "text": "plain text",
}


def _style_of_pairs(found: Mapping[str, str], chosen: object) -> str:
    if is_hh_dialogue(chosen):
        return "preference pairs, HH-RLHF dialogues"
    said = parsed(chosen)
    explicit = "explicit" if "prompt" in found or "instruction" in found else "implicit"
    turns = "ShareGPT" if _is_sharegpt(said) else "conversational"
    listed = isinstance(said, list | dict) and not isinstance(chosen, str)
    return f"preference pairs, {explicit} prompt" + (f", {turns}" if listed else "")


def _is_sharegpt(value: object) -> bool:
    """Return whether turns (or one of them) are laid out as `from` and `value`."""
    turns = parsed(value)
    first = turns[0] if isinstance(turns, list) and turns else turns
    return isinstance(first, dict) and first.get("from") is not None


def _listed(names: Sequence[str]) -> str:
    """Return column names in words: harmless to show, and not more than a person reads."""
    shown = [text.one_line(name, 40) or "``" for name in names[:_NAMES_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "") or "none"
