"""Whether a model can be trained in the way that a run asks for, by its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tui_ft.hub.model_config import model_config
from tui_ft.models.limits import reads_across, why_no_bottleneck, why_no_norms, why_not_frozen
from tui_ft.spec import RunSpec
from tui_ft.spec.kernels import FLASH
from tui_ft.spec.methods import BottleneckMethod, FreezeMethod, LnTuningMethod

_DEPENDS: Final = (BottleneckMethod, FreezeMethod, LnTuningMethod)
_SCORES: Final = ("reward", "classification")


def model_misfit(spec: RunSpec) -> tuple[str, str] | None:
    """Return what a run would be refused for once its model is loaded, and what to do; else None.

    Never raises. Asks for the model's configuration only where something depends on it; of what
    cannot be had, or is not known, nothing is said.
    """
    if not (_joins(spec) or isinstance(spec.method, _DEPENDS)):
        return None
    config = model_config(spec.model.name_or_path, spec.model.revision).values
    return None if config is None else _misfit(spec, config)


def _misfit(spec: RunSpec, config: Mapping[str, Any]) -> tuple[str, str] | None:
    method, training = spec.method, spec.training
    with_flash = spec.model.attn_implementation in FLASH
    if _joins(spec) and reads_across(config, with_flash=with_flash):
        how = "training.packing" if training.packing else "training.padding_free"
        kind = config.get("model_type")
        said = f"a text would change the one behind it in the same row: {kind} does not keep them "
        wrapped = ", or training.packing_strategy to wrapped, which joins texts on purpose"
        return f"{said}apart", f"set {how} to false{wrapped if training.packing else ''}"
    if isinstance(method, FreezeMethod):
        scores = spec.objective.kind in _SCORES
        return why_not_frozen(config, method.num_trainable_layers, scores=scores)
    if isinstance(method, BottleneckMethod) and not method.target_modules:
        return why_no_bottleneck(config)
    return why_no_norms(config) if isinstance(method, LnTuningMethod) else None


def _joins(spec: RunSpec) -> bool:
    """Tell whether several texts share a row, and are to be kept apart there."""
    training = spec.training
    packs = training.packing and training.packing_strategy != "wrapped"
    return packs or training.padding_free
