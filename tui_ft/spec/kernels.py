"""Fused kernels that a run may use: which are installed, and where they are of any use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Final

from tui_ft.spec.run_spec import RunSpec

LIGER: Final = "training.use_liger_kernel"
HUB: Final = "model.use_kernels"
_PACKAGES: Final = {LIGER: ("liger_kernel", "liger-kernel"), HUB: ("kernels", "kernels")}
_FUSED_LOSSES: Final = ("sft", "pretraining", "classification")
"""Objectives that leave the forward pass to the model; others of trl's call Liger's own losses."""


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


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
    if key == LIGER and spec.objective.kind not in _FUSED_LOSSES:
        return (
            f"{key}: the trainer of {spec.objective.kind} has no use for them that ftui has tried",
            f"set {key} to false",
        )
    if not installed(module):
        return f"{key}: {package} is not installed", f"`pip install {package}`, or set it to auto"
    return None


def uses(spec: RunSpec, key: str, *, on_gpu: bool) -> bool:
    """Tell whether a run uses these kernels: asked for, or `auto` and they can be."""
    asked = kernels_asked(spec)[key]
    return asked is True or (asked == "auto" and why_not(spec, key, on_gpu=on_gpu) is None)
