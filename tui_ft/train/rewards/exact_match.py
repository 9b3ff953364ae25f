"""Whether an answer is that of the data, after what leads to it is left out."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final

from tui_ft.data.final_answer import as_number, extract
from tui_ft.spec.rewards import ExactMatchReward
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def make(reward: ExactMatchReward, job: Job) -> Score:
    """Return what compares answers with the data's; None where the data have none."""

    def score(answers: Answers) -> list[float | None]:
        return [
            None if reference is None else float(is_match(reward, said, reference))
            for said, reference in zip(answers.texts, answers.references, strict=True)
        ]

    return score


def is_match(reward: ExactMatchReward, said: str, reference: str) -> bool:
    """Tell whether ``said`` comes to the same as ``reference``."""
    given = extract(said, reward.extract)
    wanted = extract(reference, reward.extract_reference)
    if given is None or wanted is None:
        return False
    if reward.numbers:
        numbers = as_number(given), as_number(wanted)
        if None not in numbers:
            return numbers[0] == numbers[1]
    return _plain(reward, given) == _plain(reward, wanted)


def _plain(reward: ExactMatchReward, said: str) -> str:
    if reward.ignore_case:
        said = said.casefold()
    if reward.ignore_punctuation:
        said = " ".join(said.translate(_NO_PUNCTUATION).split())
    return said.strip()
