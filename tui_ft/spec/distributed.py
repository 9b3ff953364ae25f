"""How a run is spread over several processes, in accelerate's own terms."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt

from tui_ft.spec.group import Extra, Group, about

ShardingKind = Literal["ddp", "zero1", "zero2", "zero3", "fsdp"]
"""What of a run is shared out: nothing; states; gradients; weights as well (two ways)."""
OffloadDevice = Literal["none", "cpu"]


class DdpStrategy(Group):
    """DDP: every GPU holds the whole run and takes a share of the rows; gradients are averaged."""

    kind: Literal["ddp"] = "ddp"
    """Every GPU holds all; rows are shared out (arXiv:2006.15704)."""
    find_unused_parameters: bool = False
    """Look at each step for trained weights that had no part in the loss; slower."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `accelerate.DistributedDataParallelKwargs`."""


class FsdpStrategy(Group):
    """FSDP2: weights, gradients and optimizer states are shared out; layers are whole in turn."""

    kind: Literal["fsdp"] = "fsdp"
    """Weights, gradients and states are shared out (arXiv:2304.11277), by torch itself."""
    fsdp_version: Literal[2] = 2
    """torch's `fully_shard`; version 1 is going away."""
    reshard_after_forward: bool = True
    """Give a layer's whole weights back after the forward pass and gather them again for the
    backward pass; without, they stay: quicker, and as much memory as all weights."""
    auto_wrap_policy: Literal["transformer_based_wrap", "size_based_wrap", "no_wrap"] = (
        "transformer_based_wrap"
    )
    """What is gathered at once: a layer of the model, some number of weights, or everything."""
    transformer_cls_names_to_wrap: list[str] = Field(default_factory=list)
    """The classes of those layers, such as LlamaDecoderLayer; by default the model says itself."""
    min_num_params: Annotated[PositiveInt | None, Field(json_schema_extra=about("parameters"))] = (
        None
    )
    """With `size_based_wrap`: the fewest weights that are gathered together."""
    cpu_offload: bool = False
    """Hold weights, gradients and states in the host's memory; much slower."""
    cpu_ram_efficient_loading: bool = True
    """Only the first process reads the weights and sends the others their shares: one copy in the
    host's memory, not one for each GPU."""
    state_dict_type: Literal["SHARDED_STATE_DICT", "FULL_STATE_DICT"] = "SHARDED_STATE_DICT"
    """How checkpoints are written: each process its share, or the first one all. What the run
    leaves in the end is whole in any case."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `accelerate.FullyShardedDataParallelPlugin`."""


class DeepSpeedStrategy(Group):
    """DeepSpeed ZeRO (arXiv:1910.02054): states are shared out, then gradients, then weights."""

    kind: Literal["deepspeed"] = "deepspeed"
    """ZeRO by DeepSpeed, which has to be installed."""
    zero_stage: Annotated[Literal[1, 2, 3], Field(json_schema_extra=about(basic=True))] = 3
    """1: optimizer states are shared out; 2: gradients as well; 3: weights too."""
    offload_optimizer_device: OffloadDevice = "none"
    """Hold optimizer states in the host's memory (cpu); slower."""
    offload_param_device: OffloadDevice = "none"
    """Hold weights in the host's memory (cpu), with stage 3; much slower."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `accelerate.DeepSpeedPlugin`."""


_ZERO: Final[dict[int, ShardingKind]] = {1: "zero1", 2: "zero2", 3: "zero3"}
Strategy = DdpStrategy | FsdpStrategy | DeepSpeedStrategy
Distributed = Annotated[Strategy, Field(discriminator="kind")]


def sharding_kind(strategy: Strategy) -> ShardingKind:
    """Return what ``strategy`` shares out."""
    if isinstance(strategy, DeepSpeedStrategy):
        return _ZERO[strategy.zero_stage]
    return strategy.kind


def strategy_name(strategy: Strategy) -> str:
    """Return what people call it: DDP, FSDP2, DeepSpeed ZeRO-3."""
    match strategy:
        case DdpStrategy():
            return "DDP"
        case FsdpStrategy():
            return f"FSDP{strategy.fsdp_version}"
        case DeepSpeedStrategy():
            return f"DeepSpeed ZeRO-{strategy.zero_stage}"


NO_DEEPSPEED: Final = (
    "hardware.distributed is deepspeed, and DeepSpeed is not installed",
    "`pip install deepspeed` where ftui is installed (it needs a CUDA toolkit to build), "
    "or set hardware.distributed.kind to fsdp, which shares out the same with torch alone",
)
"""The reason and the advice of a run that cannot start for want of it."""


def has_deepspeed() -> bool:
    """Return whether DeepSpeed is installed; it is not imported."""
    return importlib.util.find_spec("deepspeed") is not None
