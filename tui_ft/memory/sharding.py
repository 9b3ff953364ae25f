"""How a run is spread over several GPUs, as far as memory goes."""

from __future__ import annotations

import msgspec

from tui_ft.memory.step import Step
from tui_ft.spec.distributed import (
    DdpStrategy,
    DeepSpeedStrategy,
    FsdpStrategy,
    ShardingKind,
    Strategy,
    sharding_kind,
)


class Sharding(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is spread over GPUs.

    Attributes:
        kind: `ddp` holds all on each GPU and averages gradients (arXiv:2006.15704); `zero1` shares
            out optimizer states, `zero2` gradients as well, `zero3` and `fsdp` weights too
            (arXiv:1910.02054, sections 5 and 7; arXiv:2304.11277).
        gpus: how many there are.
        reshards: FSDP gives a layer's whole weights back after the forward pass.
        wraps: layers are gathered one after the other; else everything is at once.
        offloads_states: optimizer states, and what is computed with them, are in the host's memory.
        offloads_weights: so are the weights' shares.
        loads_once: with FSDP the first process alone reads the model into the host's memory; in all
            other ways every process does.
    """

    kind: ShardingKind
    gpus: int
    reshards: bool = True
    wraps: bool = True
    offloads_states: bool = False
    offloads_weights: bool = False
    loads_once: bool = True

    @property
    def shares_weights(self) -> bool:
        """Whether a GPU holds a part of the weights alone."""
        return self.kind in ("zero3", "fsdp")

    @property
    def readers(self) -> int:
        """How many processes read the whole model into the host's memory at once."""
        return 1 if self.kind == "fsdp" and self.loads_once else self.gpus

    @property
    def by_deepspeed(self) -> bool:
        """Whether DeepSpeed does it."""
        return self.kind.startswith("zero")


def can_be_replayed(step: Step, sharding: Sharding) -> bool:
    """Tell whether a dry run knows how a step is spread: FSDP2 of one model, not in 8 bits."""
    alone = not (step.holds_reference or step.reward_model or step.consolidated)
    on_gpu = not (sharding.offloads_weights or sharding.offloads_states)
    packed = step.quantization is not None and step.quantization.bits == 8  # noqa: PLR2004 - bits
    return sharding.kind == "fsdp" and alone and on_gpu and not packed


def sharding_of(strategy: Strategy, gpus: int) -> Sharding:
    """Return what of a strategy memory follows."""
    kind = sharding_kind(strategy)
    match strategy:
        case FsdpStrategy():
            return Sharding(
                kind=kind,
                gpus=gpus,
                reshards=strategy.reshard_after_forward,
                wraps=strategy.auto_wrap_policy != "no_wrap",
                offloads_states=strategy.cpu_offload,
                offloads_weights=strategy.cpu_offload,
                loads_once=strategy.cpu_ram_efficient_loading,
            )
        case DeepSpeedStrategy():
            return Sharding(
                kind=kind,
                gpus=gpus,
                offloads_states=strategy.offload_optimizer_device == "cpu",
                offloads_weights=strategy.offload_param_device == "cpu" and kind == "zero3",
            )
        case DdpStrategy():
            return Sharding(kind=kind, gpus=gpus)
