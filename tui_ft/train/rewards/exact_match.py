"""Whether an answer is that of the data, after what leads to it is left out."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tui_ft.data.final_answer import extract, is_formula, tidied, value_of
from tui_ft.spec.rewards import ExactMatchReward
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_PUNCTUATION: Final = re.compile(
    rf"((?<=\d)[./:](?=\d)|(?<![\w)\]}}])-(?=\.?\d))|[{re.escape(string.punctuation)}]"
)
"""But what belongs to a number: 1.5 million are not 15, and -5 degrees not 5."""


def make(reward: ExactMatchReward, job: Job) -> Score:
    """Return what compares answers with the data's; None where the data have none."""

    def score(answers: Answers) -> list[float | None]:
        return [
            None if reference is None else float(is_match(reward, said, reference))
            for said, reference in zip(answers.texts, answers.references, strict=True)
        ]

    return score


def is_match(reward: ExactMatchReward, said: str, reference: str) -> bool:
    """Tell whether ``said`` comes to the same as ``reference``, or as one of several."""
    given = extract(said, reward.extract)
    if given is None:
        return False
    return any(_is_same(reward, given, one) for one in _wanted(reward, reference))


def _wanted(reward: ExactMatchReward, reference: str) -> Sequence[str]:
    """Return the answers that are right, each without what leads to it."""
    several = _listed(reference) if reward.any_of else None
    found = (extract(one, reward.extract_reference) for one in several or [reference])
    return [one for one in found if one is not None]


def _listed(reference: str) -> list[str] | None:
    try:
        several = json.loads(reference)
    except (ValueError, RecursionError):
        return None
    if not isinstance(several, list):
        return None
    return [one if isinstance(one, str) else json.dumps(one) for one in several if one is not None]


def _is_same(reward: ExactMatchReward, given: str, wanted: str) -> bool:
    if reward.numbers:
        numbers = value_of(given), value_of(wanted)
        if None not in numbers:
            return numbers[0] == numbers[1]
    if _plain(reward, given) == _plain(reward, wanted):
        return True
    formulas = is_formula(given) or is_formula(wanted)
    return formulas and _plain(reward, tidied(given)) == _plain(reward, tidied(wanted))


def _plain(reward: ExactMatchReward, said: str) -> str:
    if reward.ignore_case:
        said = said.casefold()
    if reward.ignore_punctuation:
        said = " ".join(_PUNCTUATION.sub(r"\1", said).split())
    return said.strip()
