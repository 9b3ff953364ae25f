"""Which modules an adapter sits on, as peft finds them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tui_ft.models.architecture import Architecture
from tui_ft.models.peft_targets import default_targets
from tui_ft.models.pieces import Linear, Piece

ALL_LINEAR: Final = "all-linear"
_HEADS: Final = ("classifier", "score")

_P = TypeVar("_P", bound=Piece)


class AdapterError(ValueError):
    """An adapter that cannot be counted, or does not fit the model; the message is for people."""


class UncountableError(AdapterError):
    """An adapter of which nothing is known here: peft may well make it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A linear module that an adapter sits on, in some of its layers.

    Attributes:
        linear: the module.
        paths: its full paths, one for each of those layers.
    """

    linear: Linear
    paths: tuple[str, ...]


def targets_of(
    architecture: Architecture, adapter: Mapping[str, Any], peft_type: str = "LORA"
) -> tuple[Target, ...]:
    """Return the linear modules that an adapter sits on.

    Args:
        architecture: the model.
        adapter: the arguments of its peft configuration; without `target_modules`, peft's own for
            the family are taken.
        peft_type: peft's name of the method.

    Raises:
        AdapterError: nothing is named for this family, or nothing matches.
    """
    named = named_targets(architecture, adapter, peft_type)
    pieces = architecture.linears
    if isinstance(named, str) and named.lower() == ALL_LINEAR:
        pieces = tuple(linear for linear in pieces if linear is not architecture.output)
        named = tuple(linear.path for linear in pieces)
    found = matching(architecture, adapter, pieces, named)
    return tuple(Target(linear, paths) for linear, paths in found)


def named_targets(
    architecture: Architecture, adapter: Mapping[str, Any], peft_type: str
) -> str | Collection[str]:
    """Return what is given as targets, or what peft takes for the family.

    Raises:
        AdapterError: neither is there.
    """
    given = adapter.get("target_modules")
    named = default_targets(peft_type, architecture.model_type) if given is None else given
    if named is None:
        raise AdapterError(
            f"peft names no modules of {architecture.family} for {peft_type}: give "
            f"target_modules, such as {ALL_LINEAR}"
        )
    if not isinstance(named, str | Collection):
        raise AdapterError(f"target_modules is {named!r}: write names of modules, or {ALL_LINEAR}")
    if isinstance(named, str) and adapter.get("layers_to_transform") is not None:
        raise AdapterError("layers_to_transform goes with a list of target_modules only")
    return named


def matching(
    architecture: Architecture,
    adapter: Mapping[str, Any],
    pieces: Collection[_P],
    named: str | Collection[str],
) -> tuple[tuple[_P, tuple[str, ...]], ...]:
    """Return which of the pieces are named, each with its paths in the layers where it is.

    Raises:
        AdapterError: none.
    """
    found = tuple(_matches(architecture, adapter, pieces, named))
    if not found:
        shown = named if isinstance(named, str) else ", ".join(sorted(named))
        raise AdapterError(f"{architecture.family} has no module that is called {shown}")
    return found


def saved_whole(architecture: Architecture, adapter: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of modules of which peft trains a copy beside the adapter.

    In a classification those are its head, whatever the adapter.
    """
    names = tuple(adapter.get("modules_to_save") or ())
    return names if architecture.labels is None else (*names, *_HEADS)


def paths_of(piece: Piece) -> tuple[str, ...]:
    """Return the full path of a piece in each of its layers."""
    if piece.layers is None:
        return (piece.path,)
    return tuple(piece.path.replace("{}", str(layer), 1) for layer in piece.layers)


def is_named(path: str, named: str | Collection[str]) -> bool:
    """Return whether a name is the path or its end; or a pattern, the path as a whole.

    Raises:
        AdapterError: the pattern is none.
    """
    if not isinstance(named, str):
        return any(path == name or path.endswith(f".{name}") for name in named)
    try:
        return re.fullmatch(named, path) is not None
    except re.error as error:
        raise AdapterError(f"target_modules {named!r} is no pattern: {error}") from error


def _matches(
    architecture: Architecture,
    adapter: Mapping[str, Any],
    pieces: Collection[_P],
    named: str | Collection[str],
) -> Iterator[tuple[_P, tuple[str, ...]]]:
    whole = saved_whole(architecture, adapter)
    excluded = adapter.get("exclude_modules")
    by_layer = _goes_by_layer(named, excluded, adapter)
    for piece in pieces:
        places = paths_of(piece) if by_layer else (piece.path,)
        paths = tuple(
            path
            for path in places
            if _is_target(path, named, adapter)
            and not any(re.match(rf"(^|.*\.){name}($|\..*)", path) for name in whole)
            and not (excluded and is_named(path, excluded))
        )
        if paths:
            yield piece, paths if by_layer else paths_of(piece)


def _goes_by_layer(
    named: str | Collection[str], excluded: str | Collection[str] | None, adapter: Mapping[str, Any]
) -> bool:
    """Return whether one layer may have what another has not: else one look at a path will do."""
    if isinstance(named, str) or isinstance(excluded, str):
        return True
    numbered = any(re.search(r"\d\.", name) for name in (*named, *(excluded or ())))
    return numbered or adapter.get("layers_to_transform") is not None


def _is_target(path: str, named: str | Collection[str], adapter: Mapping[str, Any]) -> bool:
    """Return whether it is named, and in one of the layers asked for: those count for ends only."""
    if not is_named(path, named):
        return False
    layers = adapter.get("layers_to_transform")
    if layers is None or layers == [] or path in named:
        return True
    layer = _layer_of(path, adapter.get("layers_pattern"))
    return layer == layers if isinstance(layers, int) else layer in layers


def _layer_of(path: str, patterns: str | list[str] | None) -> int | None:
    """Return the first number in a path; or the one after a module with one of these names."""
    if not patterns:
        found = re.match(r".*?\.[^.]*\.(\d+)\.", path)
        return int(found[1]) if found else None
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if found := re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", path):
            return int(found[1])
    return None
