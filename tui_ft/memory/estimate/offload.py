"""What offload takes of the host: memory that is held there, and bytes that go over the bus.

None of it is measured on GPUs. Sizes follow torch 2.13's `fully_shard` with `CPUOffloadPolicy`
(torch/distributed/fsdp/_fully_shard/_fsdp_param.py) and DeepSpeed 0.19's own estimates
(`estimate_zero2_model_states_mem_needs`, `estimate_zero3_model_states_mem_needs`), with which they
are compared in benchmarks/results/2026-11-26-zero.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import msgspec

from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.optimizer import states_of
from tui_ft.memory.estimate.sharding import all_held, computed_step
from tui_ft.memory.estimate.tape import FLOAT32
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import BYTES, Step

_GATHERED: Final = 2
"""How often a pass needs the weights: forward and back."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a run that offloads takes of the host, all processes together, in bytes.

    Attributes:
        held: while it trains, pinned: it cannot be swapped out.
        each_pass: that go over one GPU's bus in a forward and backward pass.
        each_update: that go over it once the optimizer has stepped.
        updated: values that the host's processors update in a step.
    """

    held: int = 0
    each_pass: int = 0
    each_update: int = 0
    updated: int = 0


def in_host(step: Step, sharding: Sharding) -> int:
    """Return the bytes that all GPUs' processes hold in the host's memory together.

    Of each trained weight a float32 copy, its states and its gradient in float32: 16 bytes with
    AdamW, and with FSDP the frozen weights too (arXiv:2101.06840, section 4; DeepSpeed 0.19,
    `estimate_zero2_model_states_mem_needs`).

    Raises:
        ValueError: as `model_of`.
    """
    return host_of(step, sharding).held


def host_of(step: Step, sharding: Sharding | None) -> Host:
    """Return what offload takes of the host; nothing where nothing is offloaded.

    Raises:
        ValueError: as `model_of`.
    """
    if sharding is None or not (sharding.offloads_states or sharding.offloads_weights):
        return Host()
    return _host(msgspec.json.encode(step), sharding)


def loaded_in_host(step: Step, sharding: Sharding | None) -> int:
    """Return the bytes of its own that the processes take while the model is read.

    Weights go through the host's memory, in each process that reads them (`Sharding.readers`). Of
    the type that the file has they are mapped: all processes share them, and they can be read
    again. In another type, as full fine-tuning's float32, they are copies. Of a quantised base each
    layer is packed on the GPU, unless it is shared out.

    Raises:
        ValueError: as `model_of`.
    """
    readers = 1 if sharding is None else sharding.readers
    if step.quantization is not None:
        shared = sharding is not None and sharding.shares_weights
        return model_of(step).sizes.weights * readers if shared else 0
    file = step.config.get("dtype") or step.config.get("torch_dtype") or "bfloat16"
    return 0 if step.weights == file else model_of(step).sizes.weights * readers


@lru_cache(maxsize=256)
def _host(encoded: bytes, sharding: Sharding) -> Host:
    step = msgspec.json.decode(encoded, type=Step)
    model = model_of(step)
    masters = [replace(held, width=FLOAT32) for held in all_held(model) if held.trained]
    own = sum(held.all_sizes for held in masters)
    held = 2 * own + states_of(step.optim, masters)
    computed = model_of(computed_step(step, sharding)).sizes
    everything = computed.weights + computed.adapters
    frozen = everything - computed.trained
    moved = own
    if sharding.by_deepspeed:
        # Gradients go in the arithmetic's type, updated weights come back in it.
        moved, back = computed.trained, computed.trained
        weights = everything if sharding.offloads_weights else 0
        held += weights
    else:
        back, weights = 0, frozen + own
        held += frozen
    gathered = weights * (_GATHERED if sharding.reshards else 1)
    return Host(
        held=held,
        each_pass=(gathered + moved) // sharding.gpus,
        each_update=back // sharding.gpus,
        updated=own // BYTES["float32"],
    )
