"""Whether an answer has the length asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_ft.spec.rewards import LengthReward
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job


def make(reward: LengthReward, job: Job) -> Score:
    """Return what measures answers."""

    def score(answers: Answers) -> list[float]:
        return [of_length(reward, length) for length in _lengths(reward, answers, job)]

    return score


def _lengths(reward: LengthReward, answers: Answers, job: Job) -> list[int]:
    if reward.unit == "tokens":
        if answers.completion_ids is not None:
            return [len(ids) for ids in answers.completion_ids]
        return [len(job.tokenizer.encode(said, add_special_tokens=False)) for said in answers.texts]
    return [len(said.split() if reward.unit == "words" else said) for said in answers.texts]


def of_length(reward: LengthReward, length: int) -> float:
    """Return the reward of an answer so long, between 0 and 1.

    1 within the limits (or at the target), less by the share of the margin that it is beyond.
    """
    if reward.target is not None:
        beyond, margin = abs(length - reward.target), reward.margin or reward.target
    else:
        short = (reward.least or 0) - length
        long = 0 if reward.most is None else length - reward.most
        beyond, margin = max(0, short, long), reward.margin or 0
    if not beyond:
        return 1.0
    return max(0.0, 1.0 - beyond / margin) if margin else 0.0
