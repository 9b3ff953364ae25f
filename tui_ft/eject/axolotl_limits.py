"""Which runs Axolotl has no form for, and why."""

from __future__ import annotations

from typing import Final

from tui_ft.eject.axolotl_grpo import no_grpo
from tui_ft.eject.beginning import no_axolotl_beginning
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import CHANGES_BASE, lora_init
from tui_ft.spec.objectives import CpoObjective, DpoObjective

_OBJECTIVES: Final = ("sft", "pretraining", "dpo", "orpo", "cpo", "reward", "grpo")
_WHY: Final = {
    "classification": "it trains no classification by labels",
    "rloo": "of the objectives that answer prompts it has GRPO alone",
    "ppo": "of the objectives that answer prompts it has GRPO alone",
    "kto": "it puts judged answers through templates of its own (chatml, llama3), not through the "
    "model's, and its user-defined type cannot take a completion's format",
}
_OTHERWISE: Final = "`--to script` can do it"
_DPO: Final = {"sigmoid": "dpo", "ipo": "ipo"}
"""trl's names of the losses that Axolotl's `rl` chooses among."""


def rl_of(spec: RunSpec) -> str | None:
    """Return Axolotl's `rl`; None where it has none, or none is needed."""
    objective = spec.objective
    if isinstance(objective, DpoObjective):
        return _DPO.get(objective.losses[0]) if len(objective.losses) == 1 else None
    if isinstance(objective, CpoObjective):
        return "simpo" if objective.loss_type == "simpo" else None
    return "orpo" if objective.kind == "orpo" else None


def no_axolotl(spec: RunSpec) -> str:
    """Return why Axolotl has no form for a run; empty where it has one."""
    kind = spec.objective.kind
    if kind not in _OBJECTIVES:
        why = _WHY[kind]
        return f"a run of {kind} cannot be handed over to Axolotl: {why}; {_OTHERWISE}"
    if kind in ("dpo", "cpo") and rl_of(spec) is None:
        loss = getattr(spec.objective, "loss_type", "")
        has = "dpo (sigmoid), ipo and simpo"
        return f"objective.loss_type {loss}: of these losses Axolotl has {has}; {_OTHERWISE}"
    if kind == "grpo" and (why := no_grpo(spec)):
        return f"objective.rewards: {why}; {_OTHERWISE}"
    if isinstance(spec.objective, DpoObjective) and spec.objective.reference_free:
        return f"objective.reference_free is no word of Axolotl's; {_OTHERWISE}"
    return no_axolotl_beginning(spec) or _no_method(spec)


def _no_method(spec: RunSpec) -> str:
    method = spec.method
    if method.kind not in ("full", "lora", "qlora"):
        return f"Axolotl has no {method.kind}, only full, lora and qlora; {_OTHERWISE}"
    if getattr(method, "ewc", None) is not None:
        return "method.ewc is no word of Axolotl's"
    begins = lora_init(method)
    if begins == "loftq":
        return (
            f"method.init_lora_weights loftq: Axolotl's begins on an unquantised base; {_OTHERWISE}"
        )
    if begins in CHANGES_BASE:
        return (
            f"method.init_lora_weights {begins}: Axolotl saves an adapter that belongs on the base "
            f"as it was changed, which nobody has; {_OTHERWISE}"
        )
    return ""
