"""RLOO (arXiv:2402.14740) with trl's RLOOTrainer: answers against the mean of the others."""

from __future__ import annotations

from trl import RLOOConfig, RLOOTrainer

from tui_ft.train.objectives.common import Job, Objective, SoundnessTrainer, build
from tui_ft.train.objectives.online import AnswersPrompts, online_arguments
from tui_ft.train.objectives.prompts import PromptRows


class RlooRunTrainer(AnswersPrompts, RLOOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's RLOOTrainer, sound, on ftui's prompts."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached.

    Raises:
        RunFailure: a reward cannot be made.
    """
    own, handed = online_arguments(job)
    trainer: SoundnessTrainer = build(job, RlooRunTrainer, RLOOConfig, own, **handed)
    return trainer


OBJECTIVE = Objective(maker=PromptRows, build=build_trainer)
