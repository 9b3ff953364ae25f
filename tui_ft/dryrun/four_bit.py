"""Put bitsandbytes' own quantised layers, without data, in the place of a model's linear ones."""

from __future__ import annotations

from collections.abc import Iterator

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import QuantState
from torch import nn
from transformers.pytorch_utils import Conv1D

from tui_ft.memory.step import Quantization

_BLOCK = 64  # weights a quantisation constant of 4 bits
_CONSTANTS = 256  # constants a constant of the second quantisation


def quantize(
    model: nn.Module, how: Quantization, compute: torch.dtype, *, shared: bool = False
) -> None:
    """Hold every linear layer but the output head in 8 or 4 bits, as transformers does.

    Args:
        model: on meta.
        how: bits and type.
        compute: type of the arithmetic, and of the dequantised weights.
        shared: 4-bit weights are kept as numbers of that type, so that they can be shared out
            (`bnb_4bit_quant_storage`; see `train.model.quantization`).
    """
    kept = _kept_whole(model)
    four = how.bits == 4  # noqa: PLR2004 - bits
    for name, layer in list(model.named_modules()):
        # As transformers: a class of its own, such as Falcon's linear layer, stays as it is.
        convertible = type(layer) is nn.Linear or isinstance(layer, Conv1D)
        if not convertible or any(part in name for part in kept):
            continue
        storage = compute if shared else torch.uint8
        quantized = _in_4_bits(layer, how, compute, storage) if four else _in_8_bits(layer)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, quantized)
    model.is_quantized = True  # type: ignore[assignment]
    model.quantization_method = "bitsandbytes"  # type: ignore[assignment]
    setattr(model, f"is_loaded_in_{how.bits}bit", True)


def hidden_tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """Yield what quantised layers hold beside parameters and buffers."""
    for layer in model.modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            state = layer.quant_state
            yield from (state.absmax, state.code)
            if state.state2 is not None:
                yield from (state.state2.absmax, state.state2.code, state.offset)
        elif isinstance(layer, bnb.nn.Linear8bitLt):
            yield layer.state.SCB


def _kept_whole(model: nn.Module) -> tuple[str, ...]:
    """Return the names that transformers leaves out: the output head, whatever it is called."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    names = [name for name, layer in model.named_modules() if layer is head and head is not None]
    return tuple(dict.fromkeys([*names, "lm_head", "score", "classifier"]))


def _empty(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _features(layer: nn.Linear | Conv1D) -> tuple[int, int]:
    """Return (in, out); GPT-2's Conv1D holds its weight the other way round."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.weight.shape[0], layer.weight.shape[1]


def _in_4_bits(
    layer: nn.Linear | Conv1D, how: Quantization, compute: torch.dtype, storage: torch.dtype
) -> bnb.nn.Linear4bit:
    """Return a 4-bit layer: half a byte a weight, and a constant for each 64 of them."""
    features, outputs = _features(layer)
    weights = features * outputs
    constants = -(-weights // _BLOCK)
    second = None
    if how.double:
        second = QuantState(
            absmax=_empty(-(-constants // _CONSTANTS), dtype=torch.float32),
            code=_empty(256, dtype=torch.float32),
            blocksize=_CONSTANTS,
            dtype=torch.float32,
        )
    state = QuantState(
        absmax=_empty(constants, dtype=torch.uint8 if how.double else torch.float32),
        shape=torch.Size((outputs, features)),
        code=_empty(16, dtype=torch.float32),
        blocksize=_BLOCK,
        quant_type=how.quant_type,
        dtype=compute,
        offset=_empty(dtype=torch.float32) if how.double else None,
        state2=second,
    )
    quantized = bnb.nn.Linear4bit(
        features,
        outputs,
        bias=layer.bias is not None,
        compute_dtype=compute,
        quant_type=how.quant_type,
        quant_storage=storage,
        device="meta",
    )
    quantized.weight = bnb.nn.Params4bit(
        _empty(-(-weights // (2 * storage.itemsize)), 1, dtype=storage),
        requires_grad=False,
        quant_state=state,
        bnb_quantized=True,
        quant_type=how.quant_type,
        quant_storage=storage,
        module=quantized,
    )
    quantized.quant_state = state
    quantized.compute_type_is_set = True
    if layer.bias is not None:
        quantized.bias = layer.bias
    return quantized


def _in_8_bits(layer: nn.Linear | Conv1D) -> bnb.nn.Linear8bitLt:
    """Return an 8-bit layer: a byte a weight, and a float32 scale a row (arXiv:2208.07339)."""
    features, outputs = _features(layer)
    quantized = bnb.nn.Linear8bitLt(
        features,
        outputs,
        bias=layer.bias is not None,
        has_fp16_weights=False,
        device="meta",
    )
    data = _empty(outputs, features, dtype=torch.int8)
    scales = _empty(outputs, dtype=torch.float32)
    weight = bnb.nn.Int8Params(data, has_fp16_weights=False, requires_grad=False)
    weight.CB, weight.SCB = data, scales
    quantized.weight = weight
    quantized.state.CB, quantized.state.SCB = weight.data, scales
    if layer.bias is not None:
        quantized.bias = layer.bias
    return quantized
