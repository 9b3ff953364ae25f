"""Kernels as CUDA would choose them, on tensors without data."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tui_ft.dryrun.autocast import Autocast, announced
from tui_ft.dryrun.kernels import cuda_kernels


def test_attention_casts_under_autocast_as_matrix_products_do() -> None:
    q = torch.empty(1, 4, 32, 64, device="meta")
    with cuda_kernels(), Autocast(torch.bfloat16):
        out = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    assert out.dtype == torch.bfloat16
    with cuda_kernels():
        assert F.scaled_dot_product_attention(q, q, q, is_causal=True).dtype == torch.float32


def test_dropout_keeps_a_mask_of_one_byte_a_number() -> None:
    x = torch.empty(64, 64, device="meta", requires_grad=True)
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with cuda_kernels(), hooks:
        F.dropout(x, 0.1)
        assert F.dropout(x, 0.0) is x
        assert F.dropout(x, 0.5, training=False) is x
    assert [tensor.dtype for tensor in kept] == [torch.bool]


def test_autocast_is_on_for_who_asks_without_a_device() -> None:
    with announced(torch.bfloat16):
        assert torch.is_autocast_enabled()
        assert torch.is_autocast_enabled("meta")
        assert not torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled()
