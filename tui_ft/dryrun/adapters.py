"""Adapters of peft that compute on the weights' values, without those values.

Each function stands in for one computation whose result has a known size, or for one on sparse
tensors, which torch has not on meta; everything else is peft's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from peft.tuners.boft.layer import BOFTLayer
from peft.tuners.frod import model as frod
from peft.tuners.frod.layer import FrodLayer
from peft.tuners.frod.layer import Linear as FrodLinear
from peft.tuners.lora.variants import KasaLinearVariant
from peft.tuners.shira.layer import Linear as ShiraLinear
from torch import nn

_Matrix = tuple[int, int]


class _Placed(torch.autograd.Function):
    """A sparse matrix of which autograd holds the places, and the values nothing but their size."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own context
        values: torch.Tensor,
        places: torch.Tensor,
        shape: _Matrix,
    ) -> torch.Tensor:
        ctx.save_for_backward(places.long())
        ctx.values = values.shape, values.dtype
        return values.new_zeros(()).expand(shape)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # noqa: ANN401
        shape, dtype = ctx.values
        return torch.empty(shape, dtype=dtype, device=gradient.device), None, None


def _placed(values: torch.Tensor, places: torch.Tensor, shape: _Matrix) -> torch.Tensor:
    return _Placed.apply(values, places, shape)  # type: ignore[no-any-return,no-untyped-call]


def _boft_permutation(layer: object, indices: torch.Tensor) -> torch.Tensor:
    """Stand for BOFT's permutation matrix, (n, n), which is filled place by place."""
    return torch.zeros(len(indices), len(indices))


def _kasa_truncation(module: object, adapter: str) -> None:
    """Stand for KaSA's truncation of the base weight, which leaves its size as it is."""


def _shira_delta(layer: ShiraLinear, adapter: str) -> torch.Tensor:
    """Stand for SHiRA's sparse change of a weight, (out, in), which is added in place."""
    values = layer.shira_weight[adapter] * layer.scaling[adapter]
    shape = (layer.out_features, layer.in_features)
    return _placed(values, layer.shira_indices[adapter], shape)


def _frod_projection(matrices: list[torch.Tensor], alpha: float) -> torch.Tensor:
    """Stand for FRoD's decomposition of one projection in all layers, (in, in), on the CPU."""
    features = matrices[0].shape[1]
    return torch.empty(features, features, device="cpu")


def _frod_factors(
    layer: FrodLayer, basis: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stand for FRoD's factors of one weight: U, (out, in), and the scales of its columns."""
    return torch.empty(weight.shape, device="cpu"), torch.empty(weight.shape[1], device="cpu")


def _frod_tensors(
    layer: FrodLayer, adapter: str, *, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return FRoD's factors on the device, to which they are moved in every forward pass."""
    left = layer.frod_U[adapter].to(device=device, dtype=dtype)
    basis = layer.frod_V[adapter].to(device=device, dtype=dtype)
    values = layer.frod_lambda_s_values[adapter].to(device=device, dtype=dtype)
    places = layer.frod_s_indices[adapter].to(device=device)
    scales = layer.frod_lambda_l[adapter].to(device=device, dtype=dtype)
    return left, basis, _placed(values, places, (basis.shape[0], basis.shape[1])), scales


def _frod_product(layer: FrodLayer, tokens: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
    """Stand for a product with FRoD's sparse factor, which halves make dense first."""
    return tokens @ sparse.contiguous().t()


def _frod_base_to_cpu(layer: FrodLayer) -> None:
    """Let the base weight leave the device, as FRoD does where it is not needed."""
    base = layer.get_base_layer()
    if base.weight.is_meta:
        away = torch.empty(base.weight.shape, dtype=base.weight.dtype, device="cpu")
        base.weight = nn.Parameter(away, requires_grad=False)


_STAND_INS: Final[tuple[tuple[Any, str, Any], ...]] = (
    (BOFTLayer, "perm2mat", _boft_permutation),
    (KasaLinearVariant, "_apply_deferred_truncation", staticmethod(_kasa_truncation)),
    (ShiraLinear, "get_delta_weight", _shira_delta),
    (frod, "_projection_from_weights", _frod_projection),
    (FrodLayer, "_calculate_frod_u_and_lambda", _frod_factors),
    (FrodLinear, "_get_frod_tensors", _frod_tensors),
    (FrodLinear, "_sparse_activation_mm", _frod_product),
    (FrodLinear, "_offload_base_weight_to_cpu", _frod_base_to_cpu),
)


@contextmanager
def without_values() -> Iterator[None]:
    """Let adapters be made, and run, on meta for a while."""
    before = [vars(owner)[name] for owner, name, _ in _STAND_INS]
    for owner, name, stand_in in _STAND_INS:
        setattr(owner, name, stand_in)
    try:
        yield
    finally:
        for (owner, name, _), own in zip(_STAND_INS, before, strict=True):
            setattr(owner, name, own)


def undeclared_tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """Yield what adapters hold beside parameters and buffers, in plain dictionaries."""
    for layer in model.modules():
        for name, held in vars(layer).items():
            if isinstance(held, dict) and not name.startswith("_"):
                yield from (one for one in held.values() if isinstance(one, torch.Tensor))
