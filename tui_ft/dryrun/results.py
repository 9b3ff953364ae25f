"""Results of operations on `meta`, made without running them where the same was run before.

torch works out the shape of most results in Python, a tenth of a millisecond each. A model is many
equal layers, and a run many equal steps: so what an operation made of tensors of some sizes is
remembered, as torch's own `FakeTensorMode` does, and made again as an empty tensor.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final, Literal

import torch

_Kind = Literal["makes", "writes", "other"]
_MOST: Final = 50_000
_FIRST: Final = object()
_NOTHING: Final = object()


class _UnlikeError(Exception):
    """An operation whose result does not follow from sizes."""


class _Made(tuple[Any, ...]):
    """Shape, strides and dtype of a tensor that an operation made."""

    __slots__ = ()


_WRITES_ONLY: Final = {"aten::copy_", "aten::fill_", "aten::zero_"}


class Results:
    """Runs operations, and remembers what came of them.

    One that only writes values into its first argument does nothing on `meta` but look at sizes:
    so it is run once.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._known: dict[Hashable, Any] = {}
        self._kinds: dict[Any, _Kind] = {}

    def of(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Return what an operation gives: its first argument, or tensors of its own on `meta`."""
        kind = self._kinds.get(operation)
        if kind is None:
            kind = self._kinds[operation] = _kind_of(operation)
        if kind == "other":
            return operation(*args, **kwargs)
        try:
            # A quotient of integers is of the default dtype.
            default = torch.get_default_dtype()
            key = (operation, _key(args), tuple(kwargs), _key(kwargs.values()), default)
            known = self._known.get(key)
        except (_UnlikeError, TypeError):  # TypeError: an argument that cannot be hashed
            return operation(*args, **kwargs)
        if known is not None:
            return _again(known, args)
        out = operation(*args, **kwargs)
        try:
            made = (
                _written(out, args, key) if kind == "writes" else _made(out, _taken(args, kwargs))
            )
        except _UnlikeError:
            return out
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = made
        return out


def _kind_of(operation: Any) -> _Kind:  # noqa: ANN401
    """Tell what an operation does with its arguments: nothing, so that all it makes is its own?"""
    schema = operation._schema
    values = (*schema.arguments, *schema.returns)
    if not any("Tensor" in str(value.type) for value in schema.arguments):
        return "other"
    if all(value.alias_info is None for value in values):
        return "makes" if schema.returns else "other"
    writes = schema.name.startswith("aten::_foreach_") or schema.name in _WRITES_ONLY
    writes = writes or torch.Tag.pointwise in operation.tags
    written = [one.alias_info is not None and one.alias_info.is_write for one in schema.arguments]
    if not (writes and schema.name.endswith("_") and written[0]) or any(written[1:]):
        return "other"
    return "writes"


def _key(values: Iterable[Any]) -> tuple[Hashable, ...]:
    found: list[Hashable] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            if not value.is_meta or value.layout is not torch.strided or value.is_complex():
                raise _UnlikeError
            found.append((value.shape, value.stride(), value.dtype))
        elif isinstance(value, (list, tuple)):
            found.append(_key(value))
        else:
            found.append((type(value), value))  # 1 and 1.0 are equal, and give other dtypes
    return tuple(found)


def _written(out: Any, args: tuple[Any, ...], key: tuple[Any, ...]) -> object:  # noqa: ANN401
    """Return what stands for the first argument, or for nothing, if sizes are as they were."""
    if _key(args) != key[1]:
        raise _UnlikeError
    if out is None:
        return _NOTHING
    if out is args[0]:
        return _FIRST
    raise _UnlikeError


def _made(out: Any, taken: set[int]) -> Any:  # noqa: ANN401
    """Return how to make the same again.

    Args:
        out: what came out.
        taken: storages that are somebody's already.
    """
    if isinstance(out, torch.Tensor):
        if not out.is_meta or out.layout is not torch.strided or out.is_complex():
            raise _UnlikeError
        made = _Made((out.shape, out.stride(), out.dtype))
        storage = out.untyped_storage()
        if (
            storage._cdata in taken
            or storage.nbytes() != _again(made, ()).untyped_storage().nbytes()
        ):
            raise _UnlikeError
        taken.add(storage._cdata)
        return made
    if isinstance(out, (tuple, list)):
        return type(out)([_made(one, taken) for one in out])
    if out is None or isinstance(out, int):
        return out
    raise _UnlikeError


def _again(made: Any, args: tuple[Any, ...]) -> Any:  # noqa: ANN401
    if isinstance(made, _Made):
        shape, strides, dtype = made
        return torch.empty_strided(shape, strides, dtype=dtype, device="meta")
    if made is _FIRST:
        return args[0]
    if made is _NOTHING:
        return None
    if isinstance(made, (tuple, list)):
        return type(made)([_again(one, args) for one in made])
    return made


def _taken(args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int]:
    return {storage._cdata for storage in _storages((args, tuple(kwargs.values())))}


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:  # noqa: ANN401
    if isinstance(values, torch.Tensor):
        yield values.untyped_storage()
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _storages(value)
