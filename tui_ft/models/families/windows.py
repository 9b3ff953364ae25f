"""Which layers have a sliding window, by the rules of transformers' configurations."""

from __future__ import annotations

from tui_ft.models.families.family import Family, Window
from tui_ft.models.pieces import Layers
from tui_ft.models.values import Values


def every_layer(values: Values, layers: int) -> Layers:
    """Return all layers: a window that is there is everyone's."""
    return range(layers)


def if_used(values: Values, layers: int) -> Layers:
    """Return all layers where `use_sliding_window` says so."""
    return range(layers) if values.flag("use_sliding_window") else ()


def after_max_window_layers(values: Values, layers: int) -> Layers:
    """Return the layers from `max_window_layers` on, where windows are used: Qwen2, Qwen3."""
    if not values.flag("use_sliding_window"):
        return ()
    return range(min(values.optional_size("max_window_layers") or 0, layers), layers)


def odd_before_max_window_layers(values: Values, layers: int) -> Layers:
    """Return every other layer below `max_window_layers`, where windows are used: Qwen2-MoE."""
    if not values.flag("use_sliding_window"):
        return ()
    return tuple(range(0, min(values.optional_size("max_window_layers") or 0, layers), 2))


def without_rotation(values: Values, layers: int) -> Layers:
    """Return the layers without rotary positions, where windows are used: SmolLM3."""
    if not values.flag("use_sliding_window"):
        return ()
    interval = values.size("no_rope_layer_interval")
    given = values.numbers("no_rope_layers")
    rotates = given or [int((layer + 1) % interval != 0) for layer in range(layers)]
    return tuple(layer for layer, rotated in enumerate(rotates[:layers]) if not rotated)


def all_but_each(period: int) -> Window:
    """Return the rule that every ``period``-th layer sees everything, the others a window."""

    def windowed(values: Values, layers: int) -> Layers:
        every = values.optional_size("sliding_window_pattern") or period
        return tuple(layer for layer in range(layers) if (layer + 1) % every)

    return windowed


def window_of(values: Values, family: Family, layers: int) -> tuple[int | None, Layers]:
    """Return the window in tokens and the layers that have it."""
    window = values.optional_size("sliding_window")
    if window is None or family.windowed is None:
        return None, ()
    listed = values.raw("layer_types")
    if isinstance(listed, list):
        windowed: Layers = tuple(
            layer for layer, kind in enumerate(listed[:layers]) if kind == "sliding_attention"
        )
    else:
        windowed = family.windowed(values, layers)
    return (window, windowed) if windowed else (None, ())
