"""A family of models: how its configuration is read and its modules are laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tui_ft.models.architecture import Architecture
from tui_ft.models.pieces import Layers
from tui_ft.models.values import Values

Build = Callable[[Values, "Family", int | None], Architecture]
"""From the values, the family, and the classes of a classification, to the architecture."""
Window = Callable[[Values, int], Layers]
"""From the values and the number of layers, to the layers with a sliding window."""


@dataclass(frozen=True, slots=True)
class Family:
    """What is to be known of all models of one `model_type`.

    Attributes:
        name: for people.
        build: lays out the modules.
        defaults: what transformers takes where config.json lacks a key.
        aliases: other names of keys, by transformers' general name.
        windowed: which layers have a sliding window, when there is one.
    """

    name: str
    build: Build
    defaults: Mapping[str, Any]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    windowed: Window | None = None
