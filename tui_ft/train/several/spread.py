"""What a trainer is told of how its run is spread: accelerate's plugins, made of the RunSpec."""

from __future__ import annotations

from typing import Any, Final

import torch
from accelerate import (
    DeepSpeedPlugin,
    DistributedDataParallelKwargs,
    FullyShardedDataParallelPlugin,
)
from accelerate.utils import DistributedType
from torch.distributed.fsdp import MixedPrecisionPolicy

from tui_ft.spec.distributed import (
    NO_DEEPSPEED,
    DdpStrategy,
    DeepSpeedStrategy,
    FsdpStrategy,
    has_deepspeed,
)
from tui_ft.spec.passed_on import own_of_strategy
from tui_ft.train.errors import RunFailure
from tui_ft.train.precision import Precision
from tui_ft.train.several.together import Ranks
from tui_ft.train.signature import checked_extra

_GROUP: Final = "hardware.distributed"


def trainer_arguments(ranks: Ranks) -> dict[str, Any]:
    """Return what a trainer's configuration takes beside what a run in one process gives it.

    With FSDP gradients are shared out after each pass. By itself transformers' Trainer waits with
    that until the last pass before an update, and until then each process holds the gradients of
    all weights, whole and in float32 (`set_requires_gradient_sync`); with LoRA and a head of its
    own, which trl's loss does not gather by FSDP, torch 2.13 then fails as well
    (`to_accumulated_grad_if_needed` finds no `_unsharded_param`).

    Raises:
        RunFailure: an `extra` has an argument that accelerate's plugin does not take, or DeepSpeed
            is not installed.
    """
    match ranks.strategy:
        case FsdpStrategy():
            return {
                "fsdp": True,
                "fsdp_config": {"version": ranks.strategy.fsdp_version},
                "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
            }
        case DeepSpeedStrategy():
            return {"deepspeed": _deepspeed_config(ranks.strategy)}
        case DdpStrategy():
            return {"ddp_find_unused_parameters": ranks.strategy.find_unused_parameters}
        case None:
            return {}


def settle(config: Any, ranks: Ranks, precision: Precision) -> None:  # noqa: ANN401
    """Make sure that ``config``, a trainer's, means all ranks; give it accelerate's plugin.

    Raises:
        RunFailure: it would train in fewer processes, or an `extra` has an unknown argument.
    """
    if config.world_size != ranks.count:
        raise RunFailure(
            f"{ranks.count} processes were to train together, and transformers sees "
            f"{config.world_size}"
        )
    if isinstance(ranks.strategy, DdpStrategy):
        config.ftui_ddp_arguments = ddp_arguments(ranks.strategy)
    if not isinstance(ranks.strategy, FsdpStrategy):
        return
    config.fsdp_plugin_args = fsdp_arguments(ranks.strategy, precision)
    if config.device.type == "cpu":
        # accelerate shards over accelerators only; the same code runs over gloo if it is told that
        # these processes are some.
        config.distributed_state.distributed_type = DistributedType.MULTI_GPU


def fsdp_arguments(strategy: FsdpStrategy, precision: Precision) -> dict[str, Any]:
    """Return the arguments of `accelerate.FullyShardedDataParallelPlugin`.

    Gradients are averaged in float32, as on one GPU; accelerate by itself would take the type of
    the arithmetic. Activations are recomputed by the model itself: accelerate's wrapper does not
    keep the random state, so that with dropout the gradients would be those of other activations.

    Raises:
        RunFailure: `extra` has an argument that the plugin does not take.
    """
    arguments: dict[str, Any] = {
        "fsdp_version": strategy.fsdp_version,
        "reshard_after_forward": strategy.reshard_after_forward,
        "auto_wrap_policy": strategy.auto_wrap_policy,
        "cpu_offload": strategy.cpu_offload,
        "cpu_ram_efficient_loading": strategy.cpu_ram_efficient_loading,
        "state_dict_type": strategy.state_dict_type,
    }
    if strategy.transformer_cls_names_to_wrap:
        arguments["transformer_cls_names_to_wrap"] = strategy.transformer_cls_names_to_wrap
    if strategy.min_num_params is not None:
        arguments["min_num_params"] = strategy.min_num_params
    if precision.arithmetic != "fp32":
        arguments["mixed_precision_policy"] = MixedPrecisionPolicy(
            param_dtype=precision.compute_dtype, reduce_dtype=torch.float32
        )
    own = own_of_strategy(strategy)
    plugin = FullyShardedDataParallelPlugin
    return checked_extra(_GROUP, strategy.extra, plugin, arguments, own)


def ddp_arguments(strategy: DdpStrategy) -> dict[str, Any]:
    """Return the arguments of torch's DistributedDataParallel, by accelerate's names.

    Raises:
        RunFailure: `extra` has an argument that it does not take.
    """
    arguments = {"find_unused_parameters": strategy.find_unused_parameters}
    own = own_of_strategy(strategy)
    return checked_extra(_GROUP, strategy.extra, DistributedDataParallelKwargs, arguments, own)


def with_ddp_arguments(arguments: dict[str, Any], config: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the arguments of an Accelerator, with those that ``config`` holds for DDP in them."""
    ours = getattr(config, "ftui_ddp_arguments", {})
    for handler in arguments.get("kwargs_handlers") or ():
        if isinstance(handler, DistributedDataParallelKwargs):
            for name, value in ours.items():
                setattr(handler, name, value)
    return arguments


def _deepspeed_config(strategy: DeepSpeedStrategy) -> dict[str, Any]:
    """Return DeepSpeed's configuration as accelerate's plugin makes it.

    What transformers knows (batch, clipping, optimizer, precision) is left to it, as `auto`.
    """
    if not has_deepspeed():
        raise RunFailure(*NO_DEEPSPEED)
    arguments = {
        "zero_stage": strategy.zero_stage,
        "offload_optimizer_device": strategy.offload_optimizer_device,
        "offload_param_device": strategy.offload_param_device,
        "zero3_save_16bit_model": True,
    }
    own = own_of_strategy(strategy)
    plugin = DeepSpeedPlugin(
        **checked_extra(_GROUP, strategy.extra, DeepSpeedPlugin, arguments, own)
    )
    left_to_transformers = {
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
    }
    made = {k: v for k, v in plugin.deepspeed_config.items() if k != "steps_per_print"}
    return {**made, **left_to_transformers}
