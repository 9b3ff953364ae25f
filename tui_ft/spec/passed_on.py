"""What a run passes on to a library (`extra`), and whether that takes it.

Asked before a run of the library's source, and in the run of the library itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from tui_ft.spec.distributed import DdpStrategy, DeepSpeedStrategy, FsdpStrategy
from tui_ft.spec.installed import arguments_of
from tui_ft.spec.methods import Method
from tui_ft.spec.run_spec import RunSpec
from tui_ft.spec.training import TrainingSpec

CONFIGURATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "sft": ("trl", "SFTConfig"),
    "pretraining": ("trl", "SFTConfig"),
    "dpo": ("trl", "DPOConfig"),
    "kto": ("trl", "KTOConfig"),
    "orpo": ("trl.experimental.orpo", "ORPOConfig"),
    "cpo": ("trl.experimental.cpo", "CPOConfig"),
    "reward": ("trl", "RewardConfig"),
    "classification": ("transformers", "TrainingArguments"),
    "grpo": ("trl", "GRPOConfig"),
    "rloo": ("trl", "RLOOConfig"),
    "ppo": ("transformers", "TrainingArguments"),
}
"""The class that takes `training.extra`, of each kind of objective."""
_ADAPTERS: Final[Mapping[str, str]] = {
    "lora": "LoraConfig",
    "qlora": "LoraConfig",
    "adalora": "AdaLoraConfig",
    "ia3": "IA3Config",
    "ln_tuning": "LNTuningConfig",
    "prompt_tuning": "PromptTuningConfig",
    "prefix_tuning": "PrefixTuningConfig",
    "p_tuning": "PromptEncoderConfig",
}
"""peft's class that takes `method.extra`, of each kind of method that has one."""
_PLUGINS: Final[Mapping[str, str]] = {
    "ddp": "DistributedDataParallelKwargs",
    "fsdp": "FullyShardedDataParallelPlugin",
    "deepspeed": "DeepSpeedPlugin",
}
_OF_THE_RUN: Final = (
    "output_dir",
    "bf16",
    "fp16",
    "use_cpu",
    "eval_strategy",
    "save_strategy",
    "save_only_model",
    "logging_nan_inf_filter",
    "remove_unused_columns",
    "resume_from_checkpoint",
    "reward_weights",
)
"""Arguments on which resuming, or the promise to keep the last good checkpoint, depends."""
_OF_SEVERAL: Final = (
    "fsdp_version",
    "activation_checkpointing",
    "sharding_strategy",
    "gradient_accumulation_steps",
    "gradient_clipping",
)
"""What other fields of a run say, or what must not be otherwise."""


class Fault(NamedTuple):
    """What is wrong with an `extra`, and what to do; no advice where none is known."""

    reason: str
    advice: str | None


def own_of_training(spec: RunSpec) -> tuple[str, ...]:
    """Return what `training.extra` may not set."""
    return (*TrainingSpec.model_fields, *type(spec.objective).model_fields, *_OF_THE_RUN)


def own_of_strategy(strategy: DdpStrategy | FsdpStrategy | DeepSpeedStrategy) -> tuple[str, ...]:
    """Return what the `extra` of a strategy may not set."""
    match strategy:
        case DdpStrategy():
            return tuple(DdpStrategy.model_fields)
        case FsdpStrategy():
            return (*FsdpStrategy.model_fields, *_OF_SEVERAL)
        case DeepSpeedStrategy():
            return (*DeepSpeedStrategy.model_fields, *_OF_SEVERAL, "hf_ds_config")


def extra_fault(
    group: str,
    extra: Iterable[str],
    target: str,
    known: Collection[str],
    own: Collection[str] = (),
) -> Fault | None:
    """Return the first fault of an `extra`; None where all of it can be passed on.

    Args:
        group: whose it is, such as `training`.
        extra: the names in it.
        target: what it is passed on to.
        known: the arguments that this takes.
        own: names that `extra` may not set: they have a field of their own, or ftui needs them.
    """
    for name in extra:
        if name in own:
            advice = f"write {group}.{name} if there is such a field, else leave it out"
            return Fault(f"{group}.extra.{name}: ftui sets this itself", advice)
        if name not in known:
            near = "".join(difflib.get_close_matches(name, known, n=1))
            meant = f"{group}.{near}" if near in own else near
            reason = f"{group}.extra.{name}: {target} has no such argument"
            return Fault(reason, f"did you mean `{meant}`?" if near else None)
    return None


def passed_on_faults(spec: RunSpec) -> list[Fault]:
    """Return what the installed libraries would not take of what the run passes on to them.

    `model.extra` is not looked at, which a model's own configuration takes as well; nor what
    Unsloth takes, nor a library whose source is not here.
    """
    method: Method = spec.method
    strategy = spec.hardware.distributed
    asked: list[tuple[str, Mapping[str, Any], tuple[str, str], tuple[str, ...]]] = [
        (
            "training",
            spec.training.extra,
            CONFIGURATIONS[spec.objective.kind],
            own_of_training(spec),
        )
    ]
    if method.kind in _ADAPTERS and spec.model.backend != "unsloth":
        extra = getattr(method, "extra", {})
        own = tuple(type(method).model_fields)
        asked.append(("method", extra, ("peft", _ADAPTERS[method.kind]), own))
    if strategy is not None:
        plugin = ("accelerate", _PLUGINS[strategy.kind])
        own = own_of_strategy(strategy)
        asked.append(("hardware.distributed", strategy.extra, plugin, own))
    faults = []
    for group, extra, (module, name), own in asked:
        known = arguments_of(module, name) if extra else None
        fault = None if known is None else extra_fault(group, extra, name, known, own)
        faults += [] if fault is None else [fault]
    return faults
