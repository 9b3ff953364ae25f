"""What optimizers of other libraries need of a trainer beside being made.

transformers makes them by name. Their states hold objects, which torch does not read back unless
told which; and a schedule-free optimizer trains on other weights than those that are of use.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any, Final

import torch

from tui_ft.spec.optimizers import OPTIMIZERS
from tui_ft.train.errors import RunFailure
from tui_ft.train.precision import Precision

_PROJECTORS: Final = {
    "galore_torch": (("galore_torch.galore_projector", "GaLoreProjector"),),
    "apollo_torch": (
        ("apollo_torch.svd_projector", "GaLoreProjector"),
        ("apollo_torch.random_projector", "GradientProjector"),
    ),
}
"""Classes of plain values and tensors that are kept in the states: by the library's module."""


def refuse_scaled_gradients(optim: str, precision: Precision) -> None:
    """Refuse fp16 beside an optimizer that steps in the backward pass.

    Raises:
        RunFailure: gradients are scaled there, and scaled back only after the backward pass.
    """
    if OPTIMIZERS[optim].layerwise and precision.arithmetic == "fp16":
        raise RunFailure(
            f"training.optim: {optim} steps in the backward pass, where fp16's gradients are "
            "still scaled",
            "set training.precision to bf16 or fp32, or training.optim to adamw_torch_fused",
        )


@contextlib.contextmanager
def readable_states(optim: str) -> Iterator[None]:
    """Let torch read back the classes that this optimizer's states hold, and no others."""
    named = _PROJECTORS.get(OPTIMIZERS[optim].module, ())
    known = [getattr(importlib.import_module(module), name) for module, name in named]
    with torch.serialization.safe_globals(known):
        yield


def place_states(optimizer: Any) -> None:  # noqa: ANN401 - accelerate is untyped here
    """Move what the states hold inside of objects to where their weights are, as torch does."""
    for weight, state in getattr(optimizer, "state", {}).items():
        for value in state.values():
            if isinstance(value, torch.Tensor) or not hasattr(value, "__dict__"):
                continue
            for name, inner in vars(value).items():
                if isinstance(inner, torch.Tensor):
                    setattr(value, name, inner.to(weight.device))


def show_averages(optimizer: Any) -> None:  # noqa: ANN401
    """Put the weights in place that are of use: of a schedule-free optimizer, their average.

    It trains on weights between the average and the last step's (arXiv:2405.15682, section 2); the
    next training step puts those back.
    """
    if optimizer is not None and callable(getattr(optimizer, "eval", None)):
        optimizer.eval()
