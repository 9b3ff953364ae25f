"""When a run saves, by when it evaluates."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SavesOnEvaluations(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Makes every ``multiple``-th evaluation a checkpoint.

    Shares of all steps are rounded up to steps one by one, so that 0.1 and 0.2 of 25 steps become
    3 and 5, which never meet; transformers compares the shares alone.
    """

    def __init__(self, multiple: int) -> None:
        self._multiple = multiple

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Set the steps between checkpoints, those between evaluations being known now."""
        state.save_steps = state.eval_steps * self._multiple
