"""An adapter as a script writes it: the class of its peft configuration, with arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tui_ft.eject.modules import BOTTLENECK
from tui_ft.spec.methods import Method, PromptTuningMethod
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.peft_configs import shipped

_CLASSES: Final = {
    "LORA": "LoraConfig",
    "ADALORA": "AdaLoraConfig",
    "IA3": "IA3Config",
    "LN_TUNING": "LNTuningConfig",
    "PROMPT_TUNING": "PromptTuningConfig",
    "PREFIX_TUNING": "PrefixTuningConfig",
    "P_TUNING": "PromptEncoderConfig",
}
_IDLE_NORMS: Final = (
    "*(name for name, one in model.named_modules() "
    'if "norm" in name and not list(one.parameters()))'
)
"""Norms without weights, of which no copy can be trained (`tui_ft.spec.norm_places`)."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """The line that imports the class, and the lines that make one of it."""

    imported: str
    lines: tuple[str, ...]


def adapter_of(method: Method, *, scores: bool) -> Adapter | None:
    """Return the adapter of a method that has one.

    Args:
        method: the run's.
        scores: the model has a head that scores; the script knows what of it is saved whole as
            `whole`, and what has no adapter as `new` and `heads`.
    """
    arguments = peft_arguments(method)
    if arguments is None:
        return None
    peft_type = arguments["peft_type"]
    name, imported = _class_of(peft_type)
    given = {k: v for k, v in arguments.items() if k != "peft_type" and v is not None}
    whole: list[str] = given.pop("modules_to_save", None) or []
    out: list[str] = given.pop("exclude_modules", None) or []
    extra: dict[str, Any] = getattr(method, "extra", {})
    lines = [f"task_type={'SEQ_CLS' if scores else 'CAUSAL_LM'!r},"]
    lines += [f"{key}={value!r}," for key, value in {**given, **extra}.items()]
    if scores:
        lines.append(f"modules_to_save=[*{whole!r}, *sorted(whole)],")
    elif whole:
        lines.append(f"modules_to_save={whole!r},")
    idle = [_IDLE_NORMS] if peft_type == "LN_TUNING" else []
    takes = "exclude_modules" in shipped().get(peft_type, ("exclude_modules",))
    if scores and takes and "target_modules" in given:
        left = ", ".join([f"*{out!r}", "*sorted(new | heads)", *idle])
        lines.append(f"exclude_modules=[{left}],")
    elif idle:
        lines.append(f"exclude_modules=[{idle[0]}] or None,")
    elif out:
        lines.append(f"exclude_modules={out!r},")
    if isinstance(method, PromptTuningMethod) and method.prompt_tuning_init_text:
        lines += [
            'prompt_tuning_init="TEXT",',
            f"prompt_tuning_init_text={method.prompt_tuning_init_text!r},",
            "tokenizer_name_or_path=MODEL,",
        ]
    return Adapter(imported, (f"{name}(", *(f"    {line}" for line in lines), "),"))


def _class_of(peft_type: str) -> tuple[str, str]:
    """Return the class of a peft configuration as it is called, and the line that imports it."""
    if peft_type == "BOTTLENECK":  # ours; the module lies beside the script
        return "BottleneckConfig", f"from {BOTTLENECK} import BottleneckConfig"
    known = _CLASSES.get(peft_type)
    if known is not None:
        return known, f"from peft import {known}"
    table = "PEFT_TYPE_TO_CONFIG_MAPPING"
    return f"{table}[{peft_type!r}]", f"from peft.mapping import {table}"
