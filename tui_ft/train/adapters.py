"""The adapter that a method means, as peft takes it."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig

from tui_ft.spec.run_spec import FullMethod, Method
from tui_ft.train.signature import checked_extra


def adapter_config(method: Method) -> LoraConfig | None:
    """Return the peft configuration of ``method``; None for full fine-tuning.

    Raises:
        RunFailure: `method.extra` has an argument that `LoraConfig` does not take.
    """
    if isinstance(method, FullMethod):
        return None
    arguments: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "r": method.r,
        "lora_alpha": method.lora_alpha,
        "lora_dropout": method.lora_dropout,
        "target_modules": method.target_modules,
        "bias": method.bias,
        "use_rslora": method.use_rslora,
        "use_dora": method.use_dora,
        "modules_to_save": method.modules_to_save or None,
    }
    own = type(method).model_fields
    return LoraConfig(**checked_extra("method", method.extra, LoraConfig, arguments, own))
