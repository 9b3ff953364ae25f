"""What cannot go together with an adapter that is trained further (`model.adapter: continue`)."""

from __future__ import annotations

from typing import Final

from tui_ft.spec.combinations.combination import Combination
from tui_ft.spec.methods import BEGINS_ELSEWHERE, TRAINS_BASE, has_virtual_tokens, lora_init
from tui_ft.spec.online import GroupFields
from tui_ft.spec.run_spec import RunSpec

_MERGE: Final = "set model.adapter to merge"


def compares_with_itself(spec: RunSpec) -> bool:
    """Tell whether an adapter that is trained further has to be there a second time, as it was.

    It is the reference of these objectives: the model that the run began with, not the bare base.
    """
    objective = spec.objective
    if not _continues(spec):
        return False
    if objective.kind == "dpo":
        return not objective.reference_free
    if isinstance(objective, GroupFields):
        return objective.beta > 0
    return objective.kind in ("kto", "ppo")


def _continues(spec: RunSpec) -> bool:
    return spec.model.adapter == "continue"


def _begins_elsewhere(spec: RunSpec) -> bool:
    return lora_init(spec.method) in BEGINS_ELSEWHERE


CONTINUE_COMBINATIONS: Final = (
    Combination(
        "an adapter trained further by a method without one",
        lambda spec: _continues(spec) and spec.method.kind in TRAINS_BASE,
        "model.adapter is continue, which trains the adapter further, and this method.kind trains "
        "weights of the model itself",
        f"{_MERGE}, or method.kind to that of the adapter",
    ),
    Combination(
        "learned tokens trained further",
        lambda spec: _continues(spec) and has_virtual_tokens(spec.method),
        "model.adapter is continue, and peft loads learned tokens to be used and not to be trained",
        "train them anew, or begin with method.kind lora",
    ),
    Combination(
        "AdaLoRA trained further",
        lambda spec: _continues(spec) and spec.method.kind == "adalora",
        "AdaLoRA's saved ranks are settled: those that were taken away could not come back, and "
        "what was known of them is gone",
        f"{_MERGE}, or take lora in the earlier run",
    ),
    Combination(
        "a beginning for an adapter that has begun",
        lambda spec: _continues(spec) and _begins_elsewhere(spec),
        "PiSSA, OLoRA and LoftQ say where a new adapter begins, and model.adapter is continue: it "
        "begins where it is",
        f"leave method.init_lora_weights out, or {_MERGE}",
    ),
    Combination(
        "Unsloth with an adapter that is trained further",
        lambda spec: _continues(spec) and spec.model.backend == "unsloth",
        "Unsloth puts a new adapter onto the model itself, and model.adapter is continue",
        f"set model.backend to transformers, or {_MERGE}",
    ),
)
