"""Which modules an adapter sits on: peft's own matching, and its defaults for each family."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.models.architecture import Architecture
from tui_ft.models.pieces import Linear, Piece

ALL_LINEAR: Final = "all-linear"
HEADS: Final = ("classifier", "score")
"""Modules that peft trains whole in a classification, whatever the adapter."""

_QV: Final = ("q_proj", "v_proj")
LORA_TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "llama": _QV,
    "mistral": _QV,
    "mixtral": _QV,
    "qwen2": _QV,
    "qwen3": _QV,
    "gemma": _QV,
    "gemma2": _QV,
    "gemma3_text": _QV,
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "falcon": ("query_key_value",),
    "gpt2": ("c_attn",),
    "gpt_neox": ("query_key_value",),
    "opt": _QV,
    "bloom": ("query_key_value",),
    "bert": ("query", "value"),
    "roberta": ("query", "value"),
}
"""peft 0.21's `TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`, for the families known here."""


class AdapterError(ValueError):
    """An adapter that cannot be counted, or does not fit the model; the message is for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """A linear module that an adapter sits on, in some of its layers.

    Attributes:
        paths: full paths, one a layer.
    """

    linear: Linear
    paths: tuple[str, ...]


def default_lora_targets(model_type: str) -> tuple[str, ...] | None:
    """Return peft's targets for the family; None where it has none and asks for them."""
    return LORA_TARGETS.get(model_type)


def targets_of(
    architecture: Architecture,
    adapter: Mapping[str, Any],
    defaults: Mapping[str, tuple[str, ...]] = LORA_TARGETS,
) -> tuple[Target, ...]:
    """Return the linear modules that an adapter sits on, as peft finds them.

    Args:
        architecture: the model.
        adapter: the arguments of its peft configuration.
        defaults: what peft takes for a family when no `target_modules` are given.

    Raises:
        AdapterError: nothing is named for this family, or nothing matches.
    """
    named = adapter.get("target_modules")
    if named is None:
        named = defaults.get(architecture.model_type)
    if named is None:
        raise AdapterError(
            f"peft names no target modules for {architecture.family}: give target_modules, such "
            f"as {ALL_LINEAR}"
        )
    found = tuple(_matches(architecture, adapter, named))
    if not found:
        raise AdapterError(f"no module of {architecture.family} is called {named}")
    return found


def saved_whole(architecture: Architecture, adapter: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of modules that are trained whole beside the adapter."""
    names = tuple(adapter.get("modules_to_save") or ())
    return names if architecture.labels is None else (*names, *HEADS)


def paths_of(piece: Piece) -> tuple[str, ...]:
    """Return the full path of a piece in each of its layers."""
    if piece.layers is None:
        return (piece.path,)
    return tuple(piece.path.replace("{}", str(layer), 1) for layer in piece.layers)


def is_within(path: str, names: tuple[str, ...]) -> bool:
    """Return whether a module is one of those with these names, or a part of one."""
    return any(re.match(rf"(^|.*\.){name}($|\..*)", path) for name in names)


def _matches(
    architecture: Architecture, adapter: Mapping[str, Any], named: str | Collection[str]
) -> Iterator[Target]:
    whole = saved_whole(architecture, adapter)
    excluded = adapter.get("exclude_modules")
    is_all = isinstance(named, str) and named.lower() == ALL_LINEAR
    for linear in architecture.linears:
        if is_all and linear is architecture.output:
            continue
        paths = tuple(
            path
            for path in paths_of(linear)
            if not is_within(path, whole)
            and not (excluded and _is_named(path, excluded))
            and (is_all or _is_target(path, named, adapter))
        )
        if paths:
            yield Target(linear, paths)


def _is_target(path: str, named: str | Collection[str], adapter: Mapping[str, Any]) -> bool:
    if not _is_named(path, named):
        return False
    layers = adapter.get("layers_to_transform")
    if isinstance(named, str) or path in named or layers is None or layers == []:
        return True
    layer = _layer_of(path, adapter.get("layers_pattern"))
    return layer == layers if isinstance(layers, int) else layer in layers


def _is_named(path: str, named: str | Collection[str]) -> bool:
    """Return whether a name is the path or its end; or a pattern, the path as a whole."""
    if isinstance(named, str):
        return re.fullmatch(named, path) is not None
    return any(path == name or path.endswith(f".{name}") for name in named)


def _layer_of(path: str, patterns: str | list[str] | None) -> int | None:
    listed = [patterns] if isinstance(patterns, str) else patterns or [r"[^.]*"]
    for pattern in listed:
        start = r".*?\." if not patterns else r"(?:^|.*?\.)"
        if found := re.match(rf"{start}{pattern}\.(?P<layer>\d+)\.", path):
            return int(found["layer"])
    return None
