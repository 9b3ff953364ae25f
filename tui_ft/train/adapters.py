"""The adapter that a method means, as peft takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from peft import LoraConfig

from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.run_spec import FullMethod, Method
from tui_ft.train.signature import checked_extra

Task = Literal["CAUSAL_LM", "SEQ_CLS"]
"""What the model does, by peft's names: generate text, or score it with a head of its own."""


def adapter_config(
    method: Method, task: Task = "CAUSAL_LM", new_modules: Sequence[str] = ()
) -> LoraConfig | None:
    """Return the peft configuration of ``method``; None for full fine-tuning.

    Args:
        method: the run's.
        task: what the model does.
        new_modules: modules with random weights, which the base's checkpoint does not hold: they
            are trained and saved whole beside the adapter.

    Raises:
        RunFailure: `method.extra` has an argument that `LoraConfig` does not take.
    """
    own_arguments = peft_arguments(method)
    if own_arguments is None or isinstance(method, FullMethod):
        return None
    named = {name: value for name, value in own_arguments.items() if name != "peft_type"}
    arguments: dict[str, Any] = {"task_type": task, **named}
    if new_modules:
        arguments["modules_to_save"] = [*(named["modules_to_save"] or ()), *new_modules]
        arguments["exclude_modules"] = list(new_modules)
    own = type(method).model_fields
    return LoraConfig(**checked_extra("method", method.extra, LoraConfig, arguments, own))
