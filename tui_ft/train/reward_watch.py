"""Notices when rewards teach nothing: every prompt's answers were all given the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tui_ft import text
from tui_ft.runs import events as ev

ALIKE: Final = "frac_reward_zero_std"
"""trl's figure: the share of prompts whose answers were all given the same reward."""
KIND: Final = "alike_rewards"
_STEPS: Final = 10
"""So many in a row are no chance."""


class RewardWatch:
    """Looks at the figures of training; warns once, and takes it back when there is a difference.

    Answers to a prompt are compared with each other (arXiv:2402.03300, section 4.1.2): where all
    got the same, their advantages are zero, and so is the gradient.
    """

    def __init__(self) -> None:
        self._alike = 0
        self._warned = False

    def look(self, values: Mapping[str, float | None]) -> ev.Alert | None:
        """Return what is to be said after these figures, if anything."""
        share = values.get(ALIKE)
        if share is None:
            return None
        self._alike = self._alike + 1 if share >= 1.0 else 0
        if self._alike >= _STEPS and not self._warned:
            self._warned = True
            reward = values.get("reward")
            given = "" if reward is None else f" ({text.significant(reward)} now)"
            return ev.Alert(
                severity="warning",
                kind=KIND,
                text=f"for {_STEPS} steps all answers to a prompt got the same reward{given}: "
                "nothing is learned from that",
                advice="take prompts that the model solves sometimes, a reward that tells answers "
                "apart by degrees, or more of objective.num_generations",
            )
        if self._warned and not self._alike:
            self._warned = False
            said = "answers to a prompt get different rewards again"
            return ev.Alert(severity="note", kind=KIND, text=said)
        return None
