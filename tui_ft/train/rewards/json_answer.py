"""Whether an answer is valid JSON, and fits a schema."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tui_ft.runs.json_schema import SchemaError, read_schema, validator_of
from tui_ft.spec.rewards import JsonReward
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)


class NoJsonError(Exception):
    """A text is no JSON."""


def make(reward: JsonReward, job: Job) -> Score:
    """Return what reads answers as JSON.

    Raises:
        RunFailure: the schema cannot be read, is none, or what checks it is not installed.
    """
    validator = None
    if reward.json_schema is not None:
        try:
            validator = validator_of(read_schema(reward.json_schema))
        except SchemaError as error:
            raise RunFailure(str(error), *error.advice) from None

    def score(said: str) -> float:
        try:
            value = read_json(said, fenced=reward.fenced)
        except NoJsonError:
            return 0.0
        fits = validator is None or validator.is_valid(value)
        return 1.0 if fits else reward.valid_only

    def score_all(answers: Answers) -> list[float]:
        return [score(said) for said in answers.texts]

    return score_all


def read_json(said: str, *, fenced: bool) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the value that ``said`` is, or the first block in it is, when it has one.

    Raises:
        NoJsonError: it is none. NaN and Infinity are none either (RFC 8259, section 6).
    """
    block = _FENCE.search(said) if fenced else None
    try:
        return json.loads(block[1] if block else said, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NoJsonError from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
