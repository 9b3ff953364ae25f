"""Whether a program can tell a right answer to the rows' questions from a wrong one."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import orjson

from tui_ft import text
from tui_ft.data.chat.prompts import asked_in, said_in
from tui_ft.data.converting import convert
from tui_ft.data.files.rows import Row
from tui_ft.data.final_answer import as_number, extract, value_of
from tui_ft.data.formats import Detection
from tui_ft.data.items import AnyItem, Pair
from tui_ft.data.parts import as_reference, value_at
from tui_ft.data.problems import RowProblem

_MOST: Final = 0.9
_WORDS: Final = 6
_CHARACTERS: Final = 60
_SOME: Final = 0.1
_WORKING: Final = 20
"""Characters before a final answer from which they are taken for what leads to it."""
_AT_THE_END: Final = re.compile(r"(?<!#)####(?!#)[^\n#]+\Z")
"""`#### 42` on the last line; `####` above more text is a heading of Markdown."""
_VAGUE: Final = ("label", "target")
"""Columns that may say what is right, unless they hold few values over and over: then they are
classes or grades."""
_FEW_VALUES: Final = 0.25
_ASKED_AS: Final = {
    "prompt": "instruction",
    "completion": "output",
    **{part: part for part in ("reference", "chosen", "rejected", "label")},
}
_TEMPLATED: Final = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<start_of_turn>|</?s>|^\s*#{2,} (?:instruction|input|question)"
    r"|^(?:human|user|assistant|question|q):|(?:assistant|response|answer|a):\s*\Z",
    re.I | re.M,
)
"""What tells that a text was written in a template: marks of turns, or `Question:`."""
_TESTS: Final = (
    *("tests", "test", "test_list", "unit_tests", "test_cases", "public_tests", "private_tests"),
    *("verification_info", "input_output", "checker"),
)


class Checkable(msgspec.Struct, frozen=True):
    """How a program can tell a right answer from a wrong one.

    Attributes:
        kind: `answer`: by the row's own answer; `form`: only whether it has the right form;
            `tests`: by tests in a column, which somebody has to run.
        reward: values of the group in `objective.rewards`; empty where none of ftui's can.
        what: what was seen, in words.
        worked: whether answers show how they were come to, so that there is something to imitate.
        marked: whether rows are plainly made to be checked.
        columns: `data.columns` by which the rows' own answers are read; empty where they are.
    """

    kind: Literal["answer", "form", "tests"]
    reward: dict[str, Any] = {}
    what: str = ""
    worked: bool = False
    marked: bool = False
    columns: dict[str, str] = {}


def checkable(rows: Sequence[Row], detection: Detection) -> Checkable | None:
    """Return how answers to these rows can be checked; None where no way is seen.

    Args:
        rows: some of the data set; at least one.
        detection: their format.
    """
    present = {name for row in rows for name in row.values}
    tests = next((name for name in _TESTS if name in present and _holds_tests(rows, name)), None)
    if tests is not None:
        said = f"the column `{text.one_line(tests, 40)}` holds tests"
        return Checkable("tests", what=said, marked=True)
    if detection.format not in ("messages", "alpaca", "prompt_completion", "prompt_only"):
        return None
    found = _in_a_column(rows, detection)
    if found is not None:
        return found
    found = of_answers(_own_answers(rows, detection))
    columns = asked_columns(rows, detection.columns)
    return None if found is None else msgspec.structs.replace(found, columns=columns)


def prompt_share(rows: Sequence[Row], detection: Detection) -> float | None:
    """Return the longest prompt against the longest row, by characters; None without prompts."""
    prompts: list[int] = []
    wholes: list[int] = []
    for row in rows:
        item = convert(row, detection)
        asked = None if isinstance(item, RowProblem) else asked_in(item)
        if asked is None or isinstance(item, RowProblem):
            continue
        told = asked.prompt
        said = told if isinstance(told, str) else "".join(map(said_in, told))
        prompts.append(len(said))
        answer = max((len(one) for one in answers_in(item)), default=0)
        wholes.append(len(said) + answer)
    longest = max(wholes, default=0)
    return max(prompts) / longest if longest else None


def answers_in(item: AnyItem) -> list[str]:
    """Return what is answered in an item, of a pair both answers."""
    sides = (item.chosen, item.rejected) if isinstance(item, Pair) else (item,)
    found = (asked_in(side) for side in sides)
    return [one.answer for one in found if one is not None and one.answer]


def asked_columns(rows: Sequence[Row], columns: Mapping[str, str]) -> dict[str, str]:
    """Return `data.columns` by which plain prompts are asked through a chat model's template.

    A column `prompt` with text is else gone on from as it stands, whatever stands beside it. Empty
    where it holds dialogues, or texts that are written in a template already.
    """
    if "prompt" not in columns or not set(columns) <= set(_ASKED_AS):
        return {}
    values = [row.values.get(columns["prompt"]) for row in rows]
    if not all(isinstance(one, str) and not one.lstrip().startswith("[") for one in values):
        return {}
    if _share([str(one) for one in values], _TEMPLATED.search) > _SOME:
        return {}
    return {_ASKED_AS[part]: name for part, name in columns.items()}


def of_answers(answers: Sequence[str]) -> Checkable | None:
    """Return how answers like these can be checked; None where no way is seen."""
    if not answers:
        return None
    for found in (_marked(answers), _json(answers), _formulas(answers), _short(answers)):
        if found is not None:
            return found
    return None


def _holds_tests(rows: Sequence[Row], name: str) -> bool:
    """Tell whether a column holds cases or code, not a mark such as `false`, in most rows."""
    held = [row.values.get(name) for row in rows]
    tests = sum(
        bool(one) and (isinstance(one, list | dict) or len(str(one).split()) > 1) for one in held
    )
    return tests >= _MOST * len(rows)


def _own_answers(rows: Sequence[Row], detection: Detection) -> list[str]:
    """Return what the rows answer themselves; nothing where too few do."""
    found = []
    for row in rows:
        item = convert(row, detection)
        asked = None if isinstance(item, RowProblem) else asked_in(item)
        if asked is not None and asked.answer:
            found.append(asked.answer)
    return found if len(found) >= _MOST * len(rows) else []


def _share(answers: Sequence[str], holds: Callable[[str], object]) -> float:
    return sum(bool(holds(one)) for one in answers) / len(answers)


def _marked(answers: Sequence[str]) -> Checkable | None:
    """Return the check of answers that end in `#### 42` or in a box."""
    marks: tuple[tuple[Literal["after_hashes", "boxed"], str], ...] = (
        ("after_hashes", "`####`"),
        ("boxed", "`\\boxed{}`"),
    )
    for how, mark in marks:
        finals = [final for one in answers if (final := _final(one, how))]
        if len(finals) < _MOST * len(answers):
            continue
        numbers = _share(finals, lambda one: as_number(one) is not None) >= _MOST
        reward = {"kind": "exact_match", "extract_reference": how}
        reward["extract"] = "last_number" if numbers else how
        before = [len(one) - len(_final(one, how) or "") for one in answers]
        share = text.percent(len(finals) / len(answers))
        what = "a number" if numbers else "the final answer"
        return Checkable(
            "answer",
            reward=reward,
            what=f"{share} of the answers looked at end in {mark} and {what}",
            worked=statistics.median(before) > _WORKING,
            marked=True,
        )
    return None


def _final(answer: str, how: Literal["after_hashes", "boxed"]) -> str | None:
    """Return what an answer ends in by its mark; None where the mark is a heading, or is not."""
    found = extract(answer, how)
    if how == "after_hashes" and found is not None:
        ends = _AT_THE_END.search(answer.strip()) and len(found) <= _CHARACTERS
        return found if ends else None
    return found


def _json(answers: Sequence[str]) -> Checkable | None:
    values = [value for one in answers if isinstance(value := _parsed(one), dict | list)]
    if len(values) < _MOST * len(answers):
        return None
    reward = {"kind": "json", "json_schema": _schema(values), "valid_only": 0.2}
    return Checkable("form", reward=reward, what="the answers are JSON", worked=True)


def _parsed(answer: str) -> object:
    if answer.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None


def _schema(values: Sequence[object]) -> dict[str, Any]:
    """Return what all the values have in common: keys that each has, with their types."""
    objects = [value for value in values if isinstance(value, dict)]
    if len(objects) < len(values):
        return {"type": "object"} if objects else {"type": "array"}
    shared = [key for key in objects[0] if all(key in other for other in objects)]
    properties = {key: _types({_type(other[key]) for other in objects}) for key in shared}
    return {"type": "object", "properties": properties, "required": shared}


def _types(names: set[str]) -> dict[str, Any]:
    if {"integer", "number"} <= names:
        names = names - {"integer"}
    ordered = sorted(names)
    return {"type": ordered[0] if len(ordered) == 1 else ordered}


def _type(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}
    return kinds.get(type(value), "array")


def _formulas(answers: Sequence[str]) -> Checkable | None:
    """Return the check of answers of which some are formulas, as LaTeX writes them."""
    written = _share(answers, lambda one: "\\" in one or "^" in one)
    if written < _SOME or _share(answers, lambda one: len(one) <= 2 * _CHARACTERS) < _MOST:
        return None
    reward = {"kind": "exact_match", "extract": "boxed"}
    return Checkable("answer", reward=reward, what="the answers are formulas and numbers")


def _short(answers: Sequence[str]) -> Checkable | None:
    """Return the check of answers of a few words, which are all answer."""
    few = _share(answers, lambda one: len(one) <= _CHARACTERS and len(one.split()) <= _WORDS)
    if few < _MOST:
        return None
    if _share(answers, lambda one: as_number(one) is not None) >= _MOST:
        reward: dict[str, Any] = {"kind": "exact_match", "extract": "last_number"}
        return Checkable("answer", reward=reward, what="the answers are numbers alone")
    if _share(answers, lambda one: value_of(one) is not None) >= _MOST:
        reward = {"kind": "exact_match", "extract": "boxed"}
        return Checkable("answer", reward=reward, what="the answers are numbers and fractions")
    reward = {"kind": "exact_match", "extract": "last_line", "ignore_punctuation": True}
    return Checkable("answer", reward=reward, what="the answers are a few words")


def _in_a_column(rows: Sequence[Row], detection: Detection) -> Checkable | None:
    """Return the check of rows beside whose question a column holds what is right."""
    named = detection.columns.get("reference")
    alone = detection.format == "prompt_only"
    for name in (named,) if named else _VAGUE if alone else ():
        values = [value_at(row.values, name) for row in rows]
        truths = [truth for value in values if (truth := as_reference(value)) is not None]
        if len(truths) < _MOST * len(rows):
            continue
        if name in _VAGUE and len(set(truths)) <= _FEW_VALUES * len(truths):
            continue
        several = _are_choices(values)
        found = _of_truths(values, truths, several=several)
        if found is None:
            continue
        reward = {**found.reward, **({"any_of": True} if several else {})}
        own = _own_answers(rows, detection)
        return msgspec.structs.replace(
            found,
            reward=_as_boxed(reward, own),
            what=f"the column `{text.one_line(name, 40)}` holds what is right: {found.what}",
            worked=found.worked or _leads_there(own, truths),
            marked=True,
            columns=_compared(rows, detection, name, values),
        )
    return None


def _are_choices(values: Sequence[object]) -> bool:
    """Tell whether values list several right answers: a list of numbers is one answer."""
    lists = [value for value in values if isinstance(value, list)]
    texts = all(isinstance(one, str) for value in lists for one in value)
    return texts and len(lists) >= _MOST * len(values) and any(len(one) > 1 for one in lists)


def _of_truths(
    values: Sequence[object], truths: Sequence[str], *, several: bool
) -> Checkable | None:
    """Return the check of what columns hold as right; of lists, what is in them or all of it."""
    if several:
        return of_answers([one for value in values if isinstance(value, list) for one in value])
    if any(isinstance(value, list) and len(value) > 1 for value in values):
        return _short(truths)  # written as JSON, which is no form that is asked for
    return of_answers(truths)


def _leads_there(own: Sequence[str], truths: Sequence[str]) -> bool:
    """Tell whether the rows' own answers say more than what they come to."""
    if not own:
        return False
    lengths = (statistics.median(map(len, said)) for said in (own, truths))
    return next(lengths) > next(lengths) + _WORKING


def _as_boxed(reward: dict[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """Return a reward that looks into the box where the rows' own answers end in one."""
    words = reward.get("extract") == "last_line"
    if words and own and _share(own, lambda one: extract(one, "boxed")) >= _MOST:
        return {"kind": "exact_match", "extract": "boxed"} | {
            name: value for name, value in reward.items() if name == "any_of"
        }
    return reward


def _compared(
    rows: Sequence[Row], detection: Detection, name: str, values: Sequence[object]
) -> dict[str, str]:
    """Return `data.columns` by which rows are asked and compared; empty where they are by names."""
    columns = dict(detection.columns) | {"reference": name}
    asked = asked_columns(rows, columns) or columns
    texts = all(value is None or isinstance(value, str) for value in values)
    if texts and set(asked) == {"instruction", "reference"}:
        return {"instruction": asked["instruction"], "output": name}
    return asked if asked != dict(detection.columns) else {}
