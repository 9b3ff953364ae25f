"""Fused kernels that a run may use: which are installed, and where they are of any use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tui_ft.spec.run_spec import RunSpec
from tui_ft.spec.versions import unmet

LIGER: Final = "training.use_liger_kernel"
HUB: Final = "model.use_kernels"
HUB_KERNELS: Final = "kernels"
"""The module that fetches kernels of the Hub."""
_PACKAGES: Final = {LIGER: ("liger_kernel", "liger-kernel"), HUB: ("kernels", "kernels")}
_WITH_LIGER: Final = ("sft", "pretraining", "classification", "dpo", "kto", "reward", "orpo")
"""Objectives whose losses with Liger's layers were found to be those without."""
LIGER_LAYERS: Final = {"fused_linear_cross_entropy": False}
"""What of Liger is used: its layers. Its loss would take the place of the model's forward pass,
which trl's trainers have made their own, and a scoring model would lose its head."""


@dataclass(frozen=True, slots=True)
class FlashKernel:
    """One version of FlashAttention, as transformers 5.23 takes it.

    Attributes:
        module: what its package imports as.
        package: what is installed to have it.
        kernel: what transformers fetches from the Hub in its place, where `kernels` is installed.
        majors: the compute capabilities that it has kernels for, by their first number.
    """

    module: str
    package: str
    kernel: str
    majors: tuple[int, ...]


FLASH: Final[dict[str, FlashKernel]] = {
    "flash_attention_2": FlashKernel(
        "flash_attn",
        "flash-attn --no-build-isolation",
        "kernels-community/flash-attn2",
        (8, 9, 10, 11, 12),
    ),
    "flash_attention_3": FlashKernel(
        "flash_attn_interface",
        "flash-attn-3",
        "kernels-community/vllm-flash-attn3",
        (8, 9),
    ),
}
"""By the names of `model.attn_implementation` (transformers/modeling_flash_attention_utils.py)."""


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def wrong_kernels() -> tuple[str, str] | None:
    """Return which `kernels` transformers asks for and which there is, where it is another.

    transformers takes it for not installed then, once the model is loaded.
    """
    found = unmet("transformers", (HUB_KERNELS,), extra=HUB_KERNELS)
    return found[0] if found else None


def kernels_asked(spec: RunSpec) -> dict[str, str | bool]:
    """Return what the run says of each kind of kernels: false, true or `auto`."""
    return {LIGER: spec.training.use_liger_kernel, HUB: spec.model.use_kernels}


def why_not(
    spec: RunSpec, key: str, *, on_gpu: bool, installed: Callable[[str], bool] = is_installed
) -> tuple[str, str] | None:
    """Return why kernels cannot be used and what to do, or None where they can."""
    module, package = _PACKAGES[key]
    if not on_gpu:
        return f"{key}: these kernels run on GPUs alone", f"set {key} to false"
    if key == LIGER and spec.objective.kind not in _WITH_LIGER:
        return (
            f"{key}: the trainer of {spec.objective.kind} has no use for them that ftui has tried",
            f"set {key} to false",
        )
    if not installed(module):
        return f"{key}: {package} is not installed", f"`pip install {package}`, or set it to auto"
    wrong = wrong_kernels() if key == HUB else None
    if wrong is not None:
        asked, found = wrong
        reason = f"{key}: transformers takes {asked}, and {found} is installed"
        return reason, f"`pip install '{asked}'`, or set {key} to false"
    return None


def uses(spec: RunSpec, key: str, *, on_gpu: bool) -> bool:
    """Tell whether a run uses these kernels: asked for, or `auto` and they can be."""
    asked = kernels_asked(spec)[key]
    return asked is True or (asked == "auto" and why_not(spec, key, on_gpu=on_gpu) is None)
