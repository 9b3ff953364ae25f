"""How many parameters an adapter trains: peft's methods in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui_ft.models.architecture import Architecture
from tui_ft.models.targets import AdapterError, Target, targets_of


def trainable_parameters(architecture: Architecture, adapter: Mapping[str, Any] | None) -> int:
    """Return the parameters that are trained.

    Args:
        architecture: the model.
        adapter: arguments of a peft configuration with its `peft_type`; None trains all weights.

    Raises:
        AdapterError: the method is not known here, or fits no module of the model.
    """
    if adapter is None:
        return architecture.parameters
    if str(adapter.get("peft_type", "")).upper() != "LORA":
        raise AdapterError(f"the parameters of {adapter.get('peft_type')} are not known here")
    return sum(_lora(target, adapter) for target in targets_of(architecture, adapter))


def lora_parameters(
    architecture: Architecture, r: int, targets: str | list[str] | None = None
) -> int:
    """Return the parameters of LoRA (arXiv:2106.09685): r times (in + out) for each target.

    Raises:
        AdapterError: it fits no module of the model.
    """
    adapter = {"peft_type": "LORA", "r": r, "target_modules": targets}
    return trainable_parameters(architecture, adapter)


def _lora(target: Target, adapter: Mapping[str, Any]) -> int:
    linear, r = target.linear, int(adapter.get("r", 8))
    one = r * (linear.in_features + linear.out_features)
    if adapter.get("use_dora"):
        one += linear.out_features  # arXiv:2402.09353: a magnitude for each output
    return one * len(target.paths)
