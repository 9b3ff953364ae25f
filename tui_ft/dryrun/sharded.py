"""FSDP2 on `meta`: torch's own `fully_shard`, put on by accelerate, without other processes.

The process group is torch's fake one, which has a size and a rank and exchanges nothing; what is
gathered and reduced is only requested, and given back as FSDP does it. So what one GPU holds of a
model that is shared out follows from FSDP's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import bitsandbytes as bnb
import torch
import torch.distributed as dist
from accelerate import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.fsdp._fully_shard import (
    _fsdp_collectives,
    _fsdp_param,
    _fsdp_param_group,
    _fsdp_state,
    _fully_shard,
)
from torch.testing._internal.distributed.fake_pg import FakeStore

from tui_ft.dryrun.tracker import StorageTracker
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step

_META: Final = torch.device("meta")


class _Unheard:
    """Gathers and reduces as far as memory goes: FSDP's `AllGather` and `ReduceScatter`."""

    def allocate(
        self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        return None


@contextmanager
def several_gpus(sharding: Sharding | None) -> Iterator[None]:
    """Be the first of the processes among which a model is shared out, for a while."""
    if sharding is None:
        yield
        return
    if dist.is_initialized():
        dist.destroy_process_group()
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=sharding.gpus)
    replaced = _replaced()
    before = {place: getattr(*place) for place in replaced}
    for (module, name), value in replaced.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        dist.destroy_process_group()


def _replaced() -> dict[tuple[Any, str], Any]:
    """Return what lets FSDP take meta for a device: no stream is waited for there."""
    handles = (_fsdp_collectives, _fsdp_param_group, _fsdp_state)
    return {
        **{(module, "_get_device_handle"): lambda kind: torch.cpu for module in handles},
        (_fully_shard, "_get_device_from_mesh"): lambda mesh: _META,
        (_fsdp_param_group.FSDPParamGroup, "_validate_no_meta_params"): lambda group: None,
        # It would read the constants of 4 bits, of which there are none.
        (bnb.nn.Linear4bit, "_save_to_state_dict"): nn.Module._save_to_state_dict,
    }


def share_out(model: Any, step: Step, sharding: Sharding) -> Any:  # noqa: ANN401
    """Return the model, shared out as accelerate does it with the arguments of `train.spread`.

    Args:
        model: on meta.
        step: for the type of the arithmetic.
        sharding: what of `hardware.distributed` memory follows.
    """
    low = None if step.arithmetic is None else getattr(torch, step.arithmetic)
    policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32) if low else None
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=sharding.reshards,
        auto_wrap_policy="transformer_based_wrap" if sharding.wraps else "no_wrap",
        cpu_ram_efficient_loading=False,  # it is read from nowhere
        mixed_precision_policy=policy,
    )
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        device=_META,
        is_main_process=False,
        mixed_precision="no" if low is None else "bf16",
    )
    model = fsdp2_prepare_model(accelerator, model)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            unheard: Any = _Unheard()
            module.set_custom_all_gather(unheard)
            module.set_custom_reduce_scatter(unheard)
    return model


@contextmanager
def followed(tracker: StorageTracker, sharding: Sharding | None) -> Iterator[None]:
    """Let a tracker see what FSDP does to storages that it keeps: it empties and fills them."""
    if sharding is None:
        yield
        return
    allocate, free = _fsdp_param.alloc_storage, _fsdp_param.free_storage

    def filled(tensor: torch.Tensor) -> None:
        allocate(tensor)
        tracker.hold(tensor, "gathered")

    def emptied(tensor: torch.Tensor) -> None:
        free(tensor)
        tracker.let_go(tensor)

    group: Any = _fsdp_param_group
    _fsdp_param.alloc_storage = group.alloc_storage = filled
    _fsdp_param.free_storage = emptied
    try:
        yield
    finally:
        _fsdp_param.alloc_storage = group.alloc_storage = allocate
        _fsdp_param.free_storage = free
