"""LoftQ (arXiv:2310.08659): LoRA on a 4-bit base that begins at what quantising took away.

Algorithm 1 of the paper with one iteration, for a base that is quantised already: the best
approximation of rank r, by singular values, of W - Q. peft's own `replace_lora_weights_loftq` asks
for CUDA, and leaves out that an update is multiplied by alpha / r; the reading is peft's.

The adapter belongs on the base quantised in the same way: on the weights in 16 bits it would put
back once more what was never taken away.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from peft.tuners.lora.bnb import Linear4bit
from peft.utils.loftq_utils import _SafetensorLoader
from safetensors import SafetensorError

from tui_ft.train.errors import RunFailure

_BEFORE = "base_model.model."


@torch.no_grad()
def begin_at_the_residual(model: Any, folder: str | None) -> None:  # noqa: ANN401 - peft is untyped here
    """Set the updates of ``model`` to what its quantised weights lack.

    Args:
        model: a peft model with LoRA on a base in 4 bits.
        folder: where the weights lie as safetensors; None for those of the Hub that are kept here.

    Raises:
        RunFailure: the weights cannot be read, or no layer is in 4 bits.
    """
    updates = [(n, m) for n, m in model.named_modules() if isinstance(m, Linear4bit)]
    if not updates:
        raise RunFailure("LoftQ finds no update on a weight in 4 bits", "set method.bits to 4")
    try:
        weights = _SafetensorLoader(model, folder)
        for name, module in updates:
            whole = weights.get_tensor(f"{name.removeprefix(_BEFORE)}.weight")
            _begin(module, whole, model.active_adapter)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise RunFailure(
            f"LoftQ reads the weights as they were before quantising, and cannot: {error}",
            "set method.init_lora_weights to default",
        ) from error


def _begin(module: Any, whole: torch.Tensor, adapter: str) -> None:  # noqa: ANN401
    """Set A (r, in) and B (out, r) so that Q + s B A is next to W (out, in)."""
    down, up = module.lora_A[adapter].weight, module.lora_B[adapter].weight
    held = module.weight
    quantised = dequantize_4bit(held.data, held.quant_state).to(torch.float32)
    residual = whole.to(quantised.device, torch.float32) - quantised
    left, values, right = torch.linalg.svd(residual, full_matrices=False)
    rank = down.shape[0]
    root = values[:rank].sqrt()
    scale = 1 / math.sqrt(module.scaling[adapter])
    down.copy_(root[:, None] * right[:rank] * scale)
    up.copy_(left[:, :rank] * root * scale)
