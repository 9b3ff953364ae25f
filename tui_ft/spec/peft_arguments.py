"""A method of a RunSpec as peft takes it: one translation for training and for memory."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.spec.bottleneck_places import PATTERNS
from tui_ft.spec.methods import (
    AdaLoraMethod,
    BottleneckMethod,
    LnTuningMethod,
    LoraMethod,
    Method,
    PeftMethod,
    PromptTuningMethod,
    QloraMethod,
)
from tui_ft.spec.norm_places import NORMS

_TYPES: Final = {
    "lora": "LORA",
    "qlora": "LORA",
    "adalora": "ADALORA",
    "ia3": "IA3",
    "ln_tuning": "LN_TUNING",
    "bottleneck": "BOTTLENECK",
    "prompt_tuning": "PROMPT_TUNING",
    "prefix_tuning": "PREFIX_TUNING",
    "p_tuning": "P_TUNING",
}
_NO_ARGUMENTS: Final = {"kind", "extra"}


def peft_arguments(method: Method) -> dict[str, Any] | None:
    """Return the arguments of the peft configuration with its `peft_type`; None without adapter.

    `method.extra` is not among them: it is checked against peft's own signature by who imports it.
    Nor is what a prompt is begun with, which takes the tokenizer: see
    `tui_ft.train.methods.adapters`.
    """
    if isinstance(method, PeftMethod):
        return {"peft_type": method.peft_type, **method.arguments}
    peft_type = _TYPES.get(method.kind)
    if peft_type is None:
        return None
    if isinstance(method, LoraMethod | QloraMethod):
        return {"peft_type": peft_type, **_lora_arguments(method)}
    left_out = _NO_ARGUMENTS
    if isinstance(method, PromptTuningMethod):
        left_out = {*_NO_ARGUMENTS, "prompt_tuning_init_text"}
    if isinstance(method, AdaLoraMethod):
        return {"peft_type": peft_type, **_adalora_arguments(method)}
    if isinstance(method, BottleneckMethod):
        return {"peft_type": peft_type, **_bottleneck_arguments(method)}
    named = method.model_dump(exclude=left_out)
    if isinstance(method, LnTuningMethod) and not method.target_modules:
        named["target_modules"] = NORMS
    return {"peft_type": peft_type, **{n: value for n, value in named.items() if value is not None}}


def _adalora_arguments(method: AdaLoraMethod) -> dict[str, Any]:
    """Return the arguments with a schedule that ends never: steps are known when training begins.

    See `tui_ft.train.methods.ranks`.
    """
    named = method.model_dump(exclude={*_NO_ARGUMENTS, "tinit", "tfinal"})
    return {**named, "tinit": 0, "tfinal": 0, "total_step": 1_000_000_000}


def _bottleneck_arguments(method: BottleneckMethod) -> dict[str, Any]:
    return {
        **method.model_dump(exclude=_NO_ARGUMENTS),
        "target_modules": method.target_modules or PATTERNS[method.placement],
        "modules_to_save": method.modules_to_save or None,
    }


def _lora_arguments(method: LoraMethod | QloraMethod) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "r": method.r,
        "lora_alpha": method.lora_alpha,
        "lora_dropout": method.lora_dropout,
        "target_modules": method.target_modules,
        "bias": method.bias,
        "use_rslora": method.use_rslora,
        "use_dora": method.use_dora,
        "modules_to_save": method.modules_to_save or None,
    }
    # LoftQ's is set when the base is quantised: see `tui_ft.train.methods.loftq`.
    if method.init_lora_weights not in ("default", "loftq"):
        arguments["init_lora_weights"] = method.init_lora_weights
    return arguments
