"""ORPO (arXiv:2403.07691) with trl's experimental ORPOTrainer."""

from __future__ import annotations

from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from tui_ft.train.objectives.common import CountsTokens, Job, Objective, SoundnessTrainer
from tui_ft.train.objectives.pairs import PairRows
from tui_ft.train.objectives.side_by_side import build_on_pairs


class OrpoRunTrainer(CountsTokens, ORPOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's ORPOTrainer, sound, on tokens."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached."""
    return build_on_pairs(job, OrpoRunTrainer, ORPOConfig)


OBJECTIVE = Objective(maker=PairRows, build=build_trainer)
