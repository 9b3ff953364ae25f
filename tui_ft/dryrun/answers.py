"""Answers to what stands in data, which tensors on `meta` do not have: as far as sizes go.

A loss that asks whether a mask is all ones, an adapter that draws the places of the weights it
trains: code that runs on a GPU looks into tensors. On `meta` there is nothing to see, so the answer
is given here: the one that was said beforehand, or the one that follows from how the tensor was
made.
"""

from __future__ import annotations

from typing import Any

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
        if operation is _aten._local_scalar_dense.default:
            dtype = args[0].dtype
            if dtype == torch.bool:
                return self._yes
            return 1.0 if dtype.is_floating_point else 1
        if operation is _aten.equal.default:
            return True
        if operation is _aten.index.Tensor:
            return self._selected(*args)
        if operation is _aten.bincount.default:
            return _longs(args[2] if len(args) > 2 else 1)  # noqa: PLR2004 - minlength is third
        if operation is _aten._to_copy.default and kwargs.get("device") == _CPU:
            return torch.empty(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if operation is _aten.nonzero.default:
            places = self._marked.get(_key(args[0]), args[0].numel())
            return _longs(places, args[0].dim())
        return None

    def note(self, operation: Any, args: tuple[Any, ...], out: Any) -> None:  # noqa: ANN401
        """Remember how many places of a mask were set, when an operation sets them."""
        if operation in _SETS_PLACES:
            places = args[2] if operation in _SCATTERS else args[1][0]
            self._marked[_key(args[0])] = places.numel()
        elif operation in _KEEPS_PLACES and _key(args[0]) in self._marked:
            self._marked[_key(out)] = self._marked[_key(args[0])]

    def _selected(self, source: torch.Tensor, places: list[Any]) -> torch.Tensor | None:
        """Return what a selection by one boolean mask gives, its length being data."""
        masks = [(at, mask) for at, mask in enumerate(places) if mask is not None]
        if len(masks) != 1 or masks[0][1].dtype != torch.bool:
            return None
        at, mask = masks[0]
        rows = max(1, round(mask.numel() * self._share))
        shape = (*source.shape[:at], rows, *source.shape[at + mask.dim() :])
        return torch.empty(shape, dtype=source.dtype, device="meta")


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
    return tensor.untyped_storage()._cdata


def _longs(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.long, device="meta")
