"""Answers to what stands in data, which tensors on `meta` do not have: as far as sizes go.

A loss that asks whether a mask is all ones, an adapter that draws the places of the weights it
trains: code that runs on a GPU looks into tensors. On `meta` there is nothing to see, so the answer
is given here: the one that was said beforehand, or the one that follows from how the tensor was
made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_CPU = torch.device("cpu")


class Answers:
    """Answers operations whose result, or its size, stands in data."""

    def __init__(self, *, yes: bool = True, share_selected: float = 1.0) -> None:
        """Know nothing yet of any tensor.

        Args:
            yes: the answer to every question such as "is this mask all ones?".
            share_selected: how much a selection by a boolean mask keeps of what it selects from.
        """
        self._yes = yes
        self._share = share_selected
        self._marked: dict[int, int] = {}  # storage: places that were set in it, of a mask

    def to(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Return the result of an operation that looks into a tensor on meta; None for others."""
        if not args or not isinstance(args[0], torch.Tensor) or args[0].device.type != "meta":
            return None
        answer = _ANSWERS.get(operation)
        return None if answer is None else answer(self, *args, **kwargs)

    def said(self, tensor: torch.Tensor) -> bool | int | float:
        """Return a value: the answer to a question, 1 for a number."""
        if tensor.dtype == torch.bool:
            return self._yes
        return 1.0 if tensor.dtype.is_floating_point else 1

    def places(self, mask: torch.Tensor) -> torch.Tensor:
        """Return the places that were set in a mask, (places, dimensions); all when not known."""
        return _longs(self._marked.get(_key(mask), mask.numel()), mask.dim())

    def note(self, operation: Any, args: tuple[Any, ...], out: Any) -> None:  # noqa: ANN401
        """Remember how many places of a mask were set, when an operation sets them."""
        if operation in _SETS_PLACES:
            places = args[2] if operation in _SCATTERS else args[1][0]
            self._marked[_key(args[0])] = places.numel()
        elif operation in _KEEPS_PLACES and _key(args[0]) in self._marked:
            self._marked[_key(out)] = self._marked[_key(args[0])]

    def selected(self, source: torch.Tensor, places: list[Any]) -> torch.Tensor | None:
        """Return what a selection by one boolean mask gives, its length being data."""
        masks = [(at, mask) for at, mask in enumerate(places) if mask is not None]
        if len(masks) != 1 or masks[0][1].dtype != torch.bool:
            return None
        at, mask = masks[0]
        rows = max(1, round(mask.numel() * self._share))
        shape = (*source.shape[:at], rows, *source.shape[at + mask.dim() :])
        return torch.empty(shape, dtype=source.dtype, device="meta")


def _counts(numbers: torch.Tensor, weights: object = None, minlength: int = 0) -> torch.Tensor:
    return _longs(max(1, minlength))


def _copied(
    tensor: torch.Tensor,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_: object,
) -> torch.Tensor | None:
    """Return what a copy to the CPU is there: no values, and no memory of the GPU."""
    if device != _CPU:
        return None
    return torch.empty(tensor.shape, dtype=dtype or tensor.dtype, device=_CPU)


def _grouped_product(
    left: torch.Tensor,
    right: torch.Tensor,
    offs: torch.Tensor | None = None,
    **_: object,
) -> torch.Tensor:
    """Return the shape of a product by groups, which meta refuses but for contiguous bfloat16.

    Rows of the result are padded to 16 bytes (aten/src/ATen/native/GroupedMMUtils.h). How many rows
    go to which group does not change its size.
    """
    matrix = 2
    groups = offs.numel() if offs is not None else 1
    rows, columns = left.shape[-2], right.shape[-1]
    shape: tuple[int, ...] = (rows, columns)
    if left.dim() == right.dim():
        shape = (groups if left.dim() == matrix else left.shape[0], rows, columns)
    width = 16 // left.element_size()
    padded = -(-columns // width) * width
    strides = (rows * padded, padded, 1)[-len(shape) :]
    return torch.empty_strided(shape, strides, dtype=left.dtype, device="meta")


_ANSWERS: Final[dict[Any, Callable[..., Any]]] = {
    _aten._local_scalar_dense.default: Answers.said,
    _aten.nonzero.default: Answers.places,
    _aten.index.Tensor: Answers.selected,
    _aten.equal.default: lambda *_: True,
    _aten.bincount.default: lambda _, *args, **kwargs: _counts(*args, **kwargs),
    _aten._to_copy.default: lambda _, *args, **kwargs: _copied(*args, **kwargs),
    _aten._grouped_mm.default: lambda _, *args, **kwargs: _grouped_product(*args, **kwargs),
}


class Answering(TorchDispatchMode):
    """Gives answers while a model is made: every selection keeps all."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._answers = Answers()

    def __torch_dispatch__(
        self,
        operation: Any,  # noqa: ANN401 - torch's OpOverload
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run one operation, or answer it."""
        answer = self._answers.to(operation, args, kwargs or {})
        if answer is not None:
            return answer
        out = operation(*args, **(kwargs or {}))
        self._answers.note(operation, args, out)
        return out


_SCATTERS = (_aten.scatter_.src, _aten.scatter_.value)
_SETS_PLACES = (*_SCATTERS, _aten.index_put_.default)
_KEEPS_PLACES = (_aten.eq.Scalar, _aten.ne.Scalar, _aten.gt.Scalar, _aten._to_copy.default)


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _longs(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.long, device="meta")
