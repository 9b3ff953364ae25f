"""The adapter that a method means, as peft takes it."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig

from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.run_spec import FullMethod, Method
from tui_ft.train.signature import checked_extra


def adapter_config(method: Method) -> LoraConfig | None:
    """Return the peft configuration of ``method``; None for full fine-tuning.

    Raises:
        RunFailure: `method.extra` has an argument that `LoraConfig` does not take.
    """
    own_arguments = peft_arguments(method)
    if own_arguments is None or isinstance(method, FullMethod):
        return None
    named = {name: value for name, value in own_arguments.items() if name != "peft_type"}
    arguments: dict[str, Any] = {"task_type": "CAUSAL_LM", **named}
    own = type(method).model_fields
    return LoraConfig(**checked_extra("method", method.extra, LoraConfig, arguments, own))
