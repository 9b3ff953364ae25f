"""AdaLoRA's moving of ranks, which peft leaves to the training loop."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tui_ft.spec.methods import AdaLoraMethod


class MovesRanks(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Gives AdaLoRA its schedule when the steps are known, and lets it look at each step."""

    def __init__(self, method: AdaLoraMethod) -> None:
        self._method = method

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,  # noqa: ANN401 - peft is untyped here
        **_: Any,
    ) -> None:
        """Set the schedule; at least one step is left to take ranks away in."""
        config = model.peft_config[model.active_adapter]
        steps = state.max_steps
        begin, end = (_steps(share, steps) for share in (self._method.tinit, self._method.tfinal))
        config.total_step = steps
        config.tfinal = min(end, max(0, steps - 2))
        config.tinit = min(begin, max(0, steps - config.tfinal - 1))
        config.deltaT = min(self._method.deltaT, max(1, steps // 10))

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,  # noqa: ANN401
        **_: Any,
    ) -> None:
        """Weigh the ranks by this step's gradients, which are still there, and move them."""
        model.base_model.update_and_allocate(state.global_step)


def _steps(value: float, whole: int) -> int:
    return round(value * whole) if value < 1 else round(value)
