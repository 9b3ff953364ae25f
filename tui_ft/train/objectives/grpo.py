"""GRPO (arXiv:2402.03300) with trl's GRPOTrainer: answers against others to the same prompt."""

from __future__ import annotations

from trl import GRPOConfig, GRPOTrainer

from tui_ft.train.objectives.common import Job, Objective, SoundnessTrainer
from tui_ft.train.objectives.online import AnswersPrompts, build_online
from tui_ft.train.objectives.prompts import PromptRows


class GrpoRunTrainer(AnswersPrompts, GRPOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's GRPOTrainer, sound, on ftui's prompts."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached; see `build_online`."""
    return build_online(job, GrpoRunTrainer, GRPOConfig)


OBJECTIVE = Objective(maker=PromptRows, build=build_trainer)
