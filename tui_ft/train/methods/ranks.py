"""AdaLoRA's moving of ranks, which peft leaves to the training loop."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tui_ft.spec.methods import AdaLoraMethod


class Orthogonality:
    """The pull of an update's vectors towards being orthogonal, as a term of any loss.

    peft adds it only where the model itself computes the loss, which most trainers here do not
    let it: its own weight is set to zero, and the term, computed as there (peft 0.21,
    tuners/adalora/model.py; equation 4 of arXiv:2303.10512 has squares), is added once in all.
    """

    name = "orth_penalty"

    def __init__(self, model: Any, weight: float) -> None:  # noqa: ANN401 - peft is untyped here
        self._weight = weight
        self._factors = [
            (parameter, "lora_A" in name)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and ("lora_A" in name or "lora_B" in name)
        ]

    def add_gradients(self, scale: float) -> torch.Tensor:
        """Add its gradients times ``scale``; return its value, ()."""
        parameters = [parameter for parameter, _ in self._factors]
        with torch.enable_grad():
            value = self._weight * torch.stack([_skew(*one) for one in self._factors]).mean()
        gradients = torch.autograd.grad(value, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            added = gradient * scale
            parameter.grad = added if parameter.grad is None else parameter.grad.add_(added)
        return value


def _skew(factor: torch.Tensor, is_first: bool) -> torch.Tensor:
    """Return how far the rows of A (r, in), or the columns of B (out, r), are from orthonormal."""
    products = factor @ factor.T if is_first else factor.T @ factor
    skew: torch.Tensor = products - torch.eye(len(products), device=products.device)
    size: torch.Tensor = skew.norm()
    return size


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
        self._orth_reg_weight, config.orth_reg_weight = config.orth_reg_weight, 0.0
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

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,  # noqa: ANN401
        **_: Any,
    ) -> None:
        """Let the configuration say again what it was trained with."""
        model.peft_config[model.active_adapter].orth_reg_weight = self._orth_reg_weight


def _steps(value: float, whole: int) -> int:
    return round(value * whole) if value < 1 else round(value)
