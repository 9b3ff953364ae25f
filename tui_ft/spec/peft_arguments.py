"""A method of a RunSpec as peft takes it: one translation for training and for memory."""

from __future__ import annotations

from typing import Any

from tui_ft.spec.run_spec import FullMethod, Method


def peft_arguments(method: Method) -> dict[str, Any] | None:
    """Return the arguments of the peft configuration with its `peft_type`; None without adapter.

    `method.extra` is not among them: it is checked against peft's own signature by who imports it.
    """
    if isinstance(method, FullMethod):
        return None
    return {
        "peft_type": "LORA",
        "r": method.r,
        "lora_alpha": method.lora_alpha,
        "lora_dropout": method.lora_dropout,
        "target_modules": method.target_modules,
        "bias": method.bias,
        "use_rslora": method.use_rslora,
        "use_dora": method.use_dora,
        "modules_to_save": method.modules_to_save or None,
    }
