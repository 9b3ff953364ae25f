"""What CUDA's kernels take that `meta` does not show: which attention runs, and kernels' scratch.

Sizes of scratch are read from the kernels' sources in torch 2.13 (aten/src/ATen/native/transformers
/cuda) and bitsandbytes 0.50.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch.overrides import handle_torch_function, has_torch_function

_aten = torch.ops.aten
_HALVES: Final = (torch.bfloat16, torch.float16)
_FLASH_LARGEST_HEAD: Final = 256
_BIAS_ALIGNMENT: Final = 16
_DEQUANTISES_ABOVE: Final = 512

Args = tuple[Any, ...]


def scratch_of(operation: str, args: Args) -> list[int]:
    """Return the bytes that an operation's kernel takes and gives back unseen."""
    scratch = _SCRATCH.get(operation)
    return scratch(args) if scratch else []


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _flash_backward(args: Args) -> list[int]:
    """Return float32 dq accumulator, softmax statistics, and keys' gradients by query head."""
    query, key = args[1], args[2]
    batch, heads, length, size = query.shape
    sizes = [
        batch * _up(length, 128) * heads * _up(size, 32) * 4,
        batch * heads * _up(length, 128) * 4,
    ]
    if key.shape[1] != heads:
        sizes += [batch * key.shape[2] * heads * size * 2] * 2
    return sizes


def _efficient_backward(args: Args) -> list[int]:
    """Return the float32 accumulator of halves, and the row statistics."""
    query = args[1]
    batch, heads, length, size = query.shape
    accumulator = 0 if query.dtype == torch.float32 else batch * heads * length * size * 4
    return [accumulator, batch * heads * length * 4]


def _gemm_4bit(args: Args) -> list[int]:
    """Return the dequantised weight, for inputs too long for the fused kernel."""
    tokens, shape = args[0], args[2]
    if tokens.numel() // tokens.shape[-1] <= _DEQUANTISES_ABOVE:
        return []
    return [shape[0] * shape[1] * tokens.element_size()]


_SCRATCH: Final[dict[str, Callable[[Args], list[int]]]] = {
    "aten::_scaled_dot_product_flash_attention_backward": _flash_backward,
    "aten::_scaled_dot_product_efficient_attention_backward": _efficient_backward,
    "bitsandbytes::gemm_4bit": _gemm_4bit,
}


def attention_as_on_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return scaled dot product attention by the kernel that CUDA would choose.

    On meta torch takes the plain path and holds all scores. CUDA takes flash attention for halves
    without a mask whose keys and values are of one size, else the memory-efficient kernel, for
    which keys and values of grouped heads and the mask are written out in full.

    Args:
        query: (B, heads, S, head size).
        key: (B, key heads, S, head size).
        value: as ``key``, or of another head size.
        attn_mask: broadcastable to (B, heads, S, S); boolean, or added to the scores.
        dropout_p: as in torch.
        is_causal: as in torch.
        scale: as in torch.
        enable_gqa: as in torch.
    """
    given = (query, key, value)
    if has_torch_function(given):  # autocast is on, and casts for the kernel as it does on CUDA
        options: tuple[Any, ...] = (attn_mask, dropout_p, is_causal, scale, enable_gqa)
        return handle_torch_function(attention_as_on_cuda, given, *given, *options)
    even = query.shape[-1] == value.shape[-1] <= _FLASH_LARGEST_HEAD
    if attn_mask is None and query.dtype in _HALVES and even:
        flash = _aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, scale=scale)[0]  # type: ignore[no-any-return]
    if enable_gqa and key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    bias = None if attn_mask is None else _as_bias(attn_mask, query, key)
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    efficient = _aten._scaled_dot_product_efficient_attention
    out = efficient(query, key, value, bias, learns, dropout_p, is_causal, scale=scale)
    return out[0]  # type: ignore[no-any-return]


def _as_bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return a mask as the bias that the efficient kernel reads: of the query's type, aligned."""
    if mask.dtype == torch.bool:
        zeros = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
        mask = zeros.masked_fill_(mask.logical_not(), -1.0)
    length = mask.shape[-1]
    if length % _BIAS_ALIGNMENT:
        mask = F.pad(mask, (0, _BIAS_ALIGNMENT - length % _BIAS_ALIGNMENT))[..., :length]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])


def dropout_as_on_cuda(
    x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """Return dropout by CUDA's own kernel, which keeps a mask of one byte a number.

    On meta torch multiplies with a mask of the input's type (aten/src/ATen/native/Dropout.cpp).

    Args:
        x: the input.
        p: share that is dropped.
        training: nothing is dropped otherwise.
        inplace: never so in the models that are trained here.
    """
    return torch.native_dropout(x, p, training)[0] if training and 0 < p < 1 else x


@contextmanager
def cuda_kernels() -> Iterator[None]:
    """Put the kernels that CUDA would choose in the place of torch's own for a while."""
    attention, dropout = F.scaled_dot_product_attention, F.dropout
    F.scaled_dot_product_attention = attention_as_on_cuda
    F.dropout = dropout_as_on_cuda  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention, F.dropout = attention, dropout
