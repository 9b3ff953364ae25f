"""When a run saves, by when it evaluates; and when it has learned what it can."""

from __future__ import annotations

from typing import Any

from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)


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


class EvaluatesLast(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Looks at the held-out rows once, with the weights of the last step."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for it after the last step."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True


class StopsEarly(EarlyStoppingCallback):  # type: ignore[misc]  # transformers is untyped here
    """Stops after so many evaluations that are no better, those before a resume counted too.

    transformers' own begins to count anew with each attempt.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count what the checkpoint knows of."""
        super().on_train_begin(args, state, control, **kwargs)
        sign = -1.0 if args.greater_is_better else 1.0
        lowest, since = float("inf"), 0
        for entry in state.log_history:
            figure = entry.get(args.metric_for_best_model)
            if figure is None:
                continue
            since += 1
            if sign * figure < lowest:
                lowest, since = sign * figure, 0
        self.early_stopping_patience_counter = since
