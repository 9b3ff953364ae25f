"""CPO (arXiv:2401.08417) and SimPO (arXiv:2405.14734) with trl's experimental CPOTrainer."""

from __future__ import annotations

from trl.experimental.cpo import CPOConfig, CPOTrainer

from tui_ft.train.objectives.common import CountsTokens, Job, Objective, SoundnessTrainer
from tui_ft.train.objectives.pairs import PairRows
from tui_ft.train.objectives.side_by_side import build_on_pairs


class CpoRunTrainer(CountsTokens, CPOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's CPOTrainer, sound, on tokens."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached."""
    return build_on_pairs(job, CpoRunTrainer, CPOConfig)


OBJECTIVE = Objective(maker=PairRows, build=build_trainer)
