"""RLOO (arXiv:2402.14740) with trl's RLOOTrainer: answers against the mean of the others."""

from __future__ import annotations

from trl import RLOOConfig, RLOOTrainer

from tui_ft.train.objectives.common import Job, Objective, SoundnessTrainer
from tui_ft.train.objectives.online import AnswersPrompts, build_online
from tui_ft.train.objectives.prompts import PromptRows


class RlooRunTrainer(AnswersPrompts, RLOOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's RLOOTrainer, sound, on ftui's prompts."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached; see `build_online`."""
    return build_online(job, RlooRunTrainer, RLOOConfig)


OBJECTIVE = Objective(maker=PromptRows, build=build_trainer)
