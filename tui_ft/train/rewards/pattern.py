"""Whether a regular expression fits an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import regex

from tui_ft.spec.rewards import RegexReward
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards import Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_SECONDS: Final = 2.0
"""An expression that takes longer on one answer goes back and forth without end."""


def make(reward: RegexReward, job: Job) -> Score:
    """Return what tries the expression on answers.

    Raises:
        RunFailure: the expression is not understood here.
    """
    flags = regex.IGNORECASE if reward.ignore_case else 0
    flags |= regex.DOTALL if reward.dot_all else 0
    try:
        # `regex` takes what Python's `re` does, and can be told to give up.
        expression = regex.compile(reward.pattern, flags | regex.VERSION0)
    except regex.error as error:
        raise RunFailure(f"the pattern {reward.pattern!r} is not understood: {error}") from None
    fits = expression.fullmatch if reward.match == "full" else expression.search

    def fit(said: str) -> float:
        try:
            return float(fits(said.strip(), timeout=_SECONDS) is not None)
        except TimeoutError:
            raise RunFailure(
                f"the pattern {reward.pattern!r} takes more than {_SECONDS:g} s on an answer of "
                f"{len(said):,} characters",
                "write it without a repetition inside of a repetition, such as (a+)+",
            ) from None

    return lambda answers: [fit(said) for said in answers.texts]
