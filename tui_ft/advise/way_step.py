"""The step of a way to train, and the fields of its run that memory depends on."""

from __future__ import annotations

from typing import Any, Final, Literal

from tui_ft.advise.objective import FIRST_STAGE
from tui_ft.advise.online import GROUPS, is_online, rewards_of
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import best_gpu
from tui_ft.advise.ways import WAYS, Way, is_adapter
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.step import Step
from tui_ft.spec.online import GENERATES
from tui_ft.spec.run_spec import DataSpec, ModelSpec, RunSpec, TrainingSpec

UNKNOWN_REWARD: Final = {"kind": "length", "most": 1}
"""Stands for a reward that only a person can name, where memory is estimated."""
VIRTUAL_TOKENS: Final = 8
"""Learned tokens of prompt tuning (Complete Guide, 5.2)."""


def base_step(state: State, way: Way, length: int) -> Step | None:
    """Return the step of a way with one row; None where the model's configuration is not known."""
    config = state.model.config
    if config is None:
        return None
    supervised = state.data.supervised_share
    longest = state.data.longest
    gpu = best_gpu(state)
    step: Step = step_of(
        _skeleton(state, way, length),
        config,
        capability=gpu.capability if gpu is not None else None,
        longest=longest.value if longest is not None else None,
        supervised=max(0.01, supervised.value) if supervised is not None else 1.0,
    )
    return step


def _skeleton(state: State, way: Way, length: int) -> RunSpec:
    """Return a run of a way, as far as its memory goes."""
    on_cpu = state.choice("gpus") == "none"
    return RunSpec(
        model=ModelSpec(
            name_or_path="-",
            dtype="bfloat16" if way.half_weights else "auto",
            attn_implementation=attention(state),
        ),
        data=DataSpec(train="-"),
        objective=_objective(state),
        method=method_values(state, way.id),
        training=TrainingSpec(
            per_device_train_batch_size=1,
            max_length=length,
            packing=state.choice("packing") == "yes",
            optim=optimizer(way, on_cpu=on_cpu),
            precision="fp32" if on_cpu else "auto",
        ),
    )


def _objective(state: State) -> Any:  # noqa: ANN401 - a member of the union
    objective = state.choice("objective")
    kind = FIRST_STAGE.get(objective, "sft")
    if not is_online(objective):
        return {"kind": kind}
    values: dict[str, Any] = {
        "kind": kind,
        "rewards": rewards_of(state) or [UNKNOWN_REWARD],
        "max_completion_length": int(state.choice("answer_length")),
    }
    if objective in GROUPS:
        values |= {"num_generations": int(state.choice("group")), "beta": float(state.choice("kl"))}
    return values


def attention(state: State) -> Literal["auto", "flash_attention_2"]:
    """Return the attention kernel: flash-attn where it is installed and the card can run it."""
    flash, gpu = state.situation.flash_attention, best_gpu(state)
    ampere = gpu is not None and (gpu.capability or (0, 0)) >= (8, 0)
    return "flash_attention_2" if flash is not None and flash.value and ampere else "auto"


def optimizer(way: Way, *, on_cpu: bool) -> str:
    """Return transformers' name of the optimizer for a way."""
    if on_cpu:
        return "adamw_torch"
    if way.shares:  # bitsandbytes' optimizers know no weights that are shared out
        return "adamw_torch_fused"
    if way.half_weights:
        return "adamw_8bit"
    return "paged_adamw_8bit" if way.kind == "qlora" else "adamw_torch_fused"


def alpha_of(rank: int) -> int:
    """Return lora_alpha for a rank: twice it, but once from 64 on, where the update is large."""
    return rank if rank >= 64 else 2 * rank  # noqa: PLR2004 - as documented


def method_values(state: State, way_id: str) -> Any:  # noqa: ANN401 - a member of the union
    """Return the method of a run, as a RunSpec takes it."""
    if WAYS[way_id].kind == "prompt_tuning":
        return {"kind": "prompt_tuning", "num_virtual_tokens": VIRTUAL_TOKENS}
    if not is_adapter(way_id):
        return {"kind": "full"}
    rank = int(state.choice("rank"))
    values: dict[str, Any] = {
        "kind": WAYS[way_id].kind,
        "r": rank,
        "lora_alpha": alpha_of(rank),
        "lora_dropout": dropout(state),
        "target_modules": targets(state),
    }
    return values


def targets(state: State) -> str | list[str]:
    """Return the layers that get an update."""
    known = state.model.targets
    if known is None or known.value == "all-linear":
        return "all-linear"
    return list(known.value)


def dropout(state: State) -> float:
    """Return the adapter's dropout: some where rows are few, none where a reference is compared."""
    if state.choice("objective") in ("dpo", "kto", "orpo", *GENERATES):
        return 0.0
    return 0.05 if (state.rows or 0) < 10_000 else 0.0  # noqa: PLR2004 - said in the reason
