"""Several GPUs: with which command a script is started, and accelerate's file for it."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.spec import RunSpec
from tui_ft.spec.distributed import DdpStrategy, DeepSpeedStrategy, FsdpStrategy

ACCELERATE_FILE: Final = "accelerate.yaml"
_ALL: Final = "$(nvidia-smi -L | wc -l)"
"""As many as the machine has, where the run takes them all."""


def command_of(spec: RunSpec) -> str:
    """Return the command that starts train.py as the run is spread."""
    count = spec.hardware.processes
    if count == 1:
        return "python train.py"
    many = _ALL if count is None else str(count)
    numbers = spec.hardware.gpus
    only = (
        f"CUDA_VISIBLE_DEVICES={','.join(map(str, numbers))} " if isinstance(numbers, list) else ""
    )
    if isinstance(spec.hardware.distributed, FsdpStrategy | DeepSpeedStrategy):
        processes = f" --num_processes {many}" if count is None else ""
        return f"{only}accelerate launch --config_file {ACCELERATE_FILE}{processes} train.py"
    # Alone on this machine, and so on a free port: others may train beside it.
    return f"{only}torchrun --standalone --nproc_per_node {many} train.py"


def accelerate_config(spec: RunSpec) -> dict[str, Any] | None:
    """Return accelerate's configuration; None where `torchrun` alone will do, or on one GPU."""
    strategy, count = spec.hardware.distributed, spec.hardware.processes
    if strategy is None or isinstance(strategy, DdpStrategy) or count == 1:
        return None
    precision = spec.training.precision
    values: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "num_machines": 1,
        "machine_rank": 0,
        "mixed_precision": {"fp32": "no", "fp16": "fp16"}.get(precision, "bf16"),
        "use_cpu": spec.hardware.gpus == "none",
    }
    if count is not None:
        values["num_processes"] = count
    if isinstance(strategy, FsdpStrategy):
        return {**values, "distributed_type": "FSDP", "fsdp_config": _fsdp(strategy)}
    return {**values, "distributed_type": "DEEPSPEED", "deepspeed_config": _deepspeed(strategy)}


def _fsdp(strategy: FsdpStrategy) -> dict[str, Any]:
    values: dict[str, Any] = {
        "fsdp_version": strategy.fsdp_version,
        "fsdp_reshard_after_forward": strategy.reshard_after_forward,
        "fsdp_auto_wrap_policy": strategy.auto_wrap_policy.upper(),
        "fsdp_offload_params": strategy.cpu_offload,
        "fsdp_cpu_ram_efficient_loading": strategy.cpu_ram_efficient_loading,
        "fsdp_state_dict_type": strategy.state_dict_type,
    }
    if strategy.transformer_cls_names_to_wrap:
        names = ",".join(strategy.transformer_cls_names_to_wrap)
        values["fsdp_transformer_layer_cls_to_wrap"] = names
    if strategy.min_num_params is not None:
        values["fsdp_min_num_params"] = strategy.min_num_params
    return values


def _deepspeed(strategy: DeepSpeedStrategy) -> dict[str, Any]:
    return {
        "zero_stage": strategy.zero_stage,
        "offload_optimizer_device": strategy.offload_optimizer_device,
        "offload_param_device": strategy.offload_param_device,
        "zero3_init_flag": False,
    }


def of_accumulating(spec: RunSpec) -> dict[str, Any]:
    """Return what a trainer is told where passes add up to a step: with FSDP each is shared out.

    The reasons are those of `tui_ft.train.several.spread.trainer_arguments`.
    """
    spread = spec.hardware.processes != 1
    if not spread or not isinstance(spec.hardware.distributed, FsdpStrategy):
        return {}
    return {"accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}}}


def not_in_accelerate(spec: RunSpec) -> tuple[str, ...]:
    """Return what of `hardware.distributed` the command and the file do not say."""
    strategy = spec.hardware.distributed
    if strategy is None:
        return ()
    said = [f"hardware.distributed.extra.{name}" for name in strategy.extra]
    if isinstance(strategy, DdpStrategy) and strategy.find_unused_parameters:
        said.append("hardware.distributed.find_unused_parameters (ddp_find_unused_parameters)")
    return tuple(said)
