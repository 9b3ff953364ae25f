"""In which types a run holds what it trains beside frozen weights of fewer bits."""

from __future__ import annotations

import functools
from typing import Any, Final

import torch

_COMPUTES: Final = "ftui_computes"
"""Set on a model whose forward pass is by autocast already."""


def hold_in_float32(trainer: Any) -> None:  # noqa: ANN401
    """Hold in float32 all that is trained beside frozen weights of fewer bits.

    peft does so with what it adds itself. Copies of the base's modules (`modules_to_save`, norms, a
    scoring head) and biases stay in the type of the base, where a small update is lost in the
    rounding, and where gradients in float16 cannot be scaled back at all. trl casts the adapter of
    a quantised base to bfloat16, and peft loads a checkpoint as float32: a resumed run would go on
    in another arithmetic than it began in.

    Where a run has no autocast, and its base is not quantised, types stay as they are: nothing
    would bring them together. DeepSpeed holds weights in float32 by itself.

    Args:
        trainer: its model has its adapter; a model without one is left as it is.
    """
    model, args = trainer.model, trainer.args
    if not hasattr(model, "peft_config"):
        return
    low = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
    quantised = any(getattr(model, f"is_loaded_in_{bits}bit", False) for bits in (4, 8))
    if not quantised and (low is None or trainer.is_deepspeed_enabled):
        return
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for parameter in trained.values():
        parameter.data = parameter.data.to(torch.float32)
    if low is not None and any(_is_of_the_base(name, model) for name in trained):
        _compute_in(low, model.get_base_model(), args.device.type)


def _is_of_the_base(name: str, model: Any) -> bool:  # noqa: ANN401 - peft is untyped here
    """Tell whether a trained parameter is one of the base's, or a copy of one.

    What a tuner adds takes tensors of other types by itself.
    """
    own = getattr(model.base_model, "prefix", None)
    return "modules_to_save" in name or own == "ln_tuning_" or (own is not None and own not in name)


def _compute_in(low: torch.dtype, inside: Any, device: str) -> None:  # noqa: ANN401
    """Let the model below the adapter take tensors of two types, as autocast brings about.

    accelerate gives autocast to the outermost model alone, and peft generates with the one inside:
    there copies in float32 would meet activations of 16 bits.
    """
    if getattr(inside, _COMPUTES, None) is not None:
        return
    forward = inside.forward

    @functools.wraps(forward)
    def with_autocast(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with torch.autocast(device, low):
            return forward(*args, **kwargs)

    inside.forward = with_autocast
    setattr(inside, _COMPUTES, low)
