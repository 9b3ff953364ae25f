"""What cannot go together where a run is spread over several processes."""

from __future__ import annotations

from typing import Final

from tui_ft.spec.combinations.combination import Combination
from tui_ft.spec.distributed import DeepSpeedStrategy, FsdpStrategy
from tui_ft.spec.methods import (
    BEGINS_ELSEWHERE,
    TRAINS_BASE,
    QloraMethod,
    has_virtual_tokens,
    lora_init,
)
from tui_ft.spec.optimizers import OPTIMIZERS
from tui_ft.spec.run_spec import RunSpec

_OWN_STATE: Final = ("adalora", "bottleneck")
_WITH_REFERENCE: Final = ("dpo", "kto")
_ANSWERS_IN_GROUPS: Final = ("grpo", "rloo")
"""Of PPO the table of what learns from rewards says the same."""


def _is_fsdp(spec: RunSpec) -> bool:
    return isinstance(spec.hardware.distributed, FsdpStrategy)


def _shares_weights(spec: RunSpec) -> bool:
    chosen = spec.hardware.distributed
    return _is_fsdp(spec) or (
        isinstance(chosen, DeepSpeedStrategy) and chosen.zero_stage == 3  # noqa: PLR2004 - a stage
    )


def _takes_plain_tensors(optim: str) -> bool:
    needs = OPTIMIZERS.get(optim)
    return optim == "adafactor" or (needs is not None and bool(needs.module))


def _has_no_size(spec: RunSpec) -> bool:
    chosen = spec.hardware.distributed
    return (
        isinstance(chosen, FsdpStrategy)
        and chosen.auto_wrap_policy == "size_based_wrap"
        and chosen.min_num_params is None
    )


DISTRIBUTED_COMBINATIONS: Final = (
    Combination(
        "an adapter kept whole beside weights that are shared out",
        lambda spec: (
            _shares_weights(spec)
            and (spec.method.kind in _OWN_STATE or has_virtual_tokens(spec.method))
        ),
        "what such an adapter is made of is kept in checkpoints as whole tensors, and with FSDP or "
        "ZeRO-3 each process holds a part of them",
        "set method.kind to lora, or hardware.distributed.kind to ddp",
    ),
    Combination(
        "PiSSA or OLoRA on weights that are shared out",
        lambda spec: _shares_weights(spec) and lora_init(spec.method) in BEGINS_ELSEWHERE,
        "PiSSA, OLoRA and LoftQ begin with what they take out of whole weights, in each process by "
        "itself, and FSDP or ZeRO-3 would put parts of different ones together",
        "set method.init_lora_weights to default, or hardware.distributed.kind to ddp",
    ),
    Combination(
        "an 8-bit base that is shared out",
        lambda spec: (
            _shares_weights(spec) and isinstance(spec.method, QloraMethod) and spec.method.bits == 8  # noqa: PLR2004 - bits
        ),
        "8-bit weights of bitsandbytes are integers with their scales beside them, which FSDP and "
        "ZeRO-3 cannot share out",
        "set method.bits to 4, which they can, or hardware.distributed.kind to ddp",
    ),
    Combination(
        "an optimizer with kernels of its own on weights that are shared out",
        lambda spec: _is_fsdp(spec) and _takes_plain_tensors(spec.training.optim),
        "FSDP hands the optimizer parts of tensors (DTensor), which kernels outside of torch, such "
        "as those of 8-bit and paged optimizers, do not take",
        "set training.optim to adamw_torch_fused: FSDP shares out its states as well",
    ),
    Combination(
        "a layerwise optimizer in several processes",
        lambda spec: OPTIMIZERS[spec.training.optim].layerwise and spec.hardware.processes != 1,
        "a layerwise optimizer (LOMO and AdaLOMO are) steps in the backward pass, before gradients "
        "are averaged: each process would train a model of its own",
        "set training.optim to adamw_torch_fused, or train on one GPU",
    ),
    Combination(
        "a frozen copy for reference of weights that are shared out",
        lambda spec: (
            _shares_weights(spec)
            and spec.objective.kind in _WITH_REFERENCE
            and spec.method.kind in TRAINS_BASE
            and not getattr(spec.objective, "reference_free", False)
        ),
        "the reference would be a second whole model, which processes other than the first do not "
        "read",
        "set method.kind to lora, whose reference is the model without the adapter",
    ),
    Combination(
        "answers of a model whose weights are shared out",
        lambda spec: _shares_weights(spec) and spec.objective.kind in _ANSWERS_IN_GROUPS,
        "every token of an answer would gather all weights anew from all GPUs",
        "set hardware.distributed.kind to ddp, or train a smaller model or one in 4 bits",
    ),
    Combination(
        "layers gathered by size without a size",
        _has_no_size,
        "size_based_wrap gathers parts with more weights than min_num_params, which is not given",
        "set hardware.distributed.min_num_params, or auto_wrap_policy to transformer_based_wrap",
    ),
    Combination(
        "offload to the CPU from the CPU",
        lambda spec: bool(
            getattr(spec.hardware.distributed, "cpu_offload", False)
            and spec.hardware.gpus == "none"
        ),
        "hardware.distributed.cpu_offload moves what a GPU holds, and hardware.gpus is none",
        "set hardware.distributed.cpu_offload to false: it is in the host's memory already",
    ),
)
