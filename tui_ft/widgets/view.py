"""Which part of its series a chart shows, and how: pure values and the steps between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tui_ft.widgets.ticks import nice_step

WEIGHTS: Final = (0.0, 0.6, 0.9, 0.98)
"""Smoothing weights that one key steps through."""

_LEAST_SPAN: Final = 4.0
_TRIMMED_SHARE: Final = 0.025
_FEWEST_TO_TRIM: Final = 8
_SPIKE_FACTOR: Final = 2.0

_SAME: Final = 1e-11
_SHORTEST: Final = 1e-6
_SMALLEST: Final = 1e-100

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of the data.

    Attributes:
        span: width of the window in x units, None for all there is.
        right: its right edge, None to follow the newest point.
        log: whether the y axis is logarithmic.
        weight: smoothing weight, 0 for none.
        robust: whether single spikes may be cut off rather than flatten the rest.
        cursor: x at which the values are read out, None for no crosshair.
    """

    span: float | None = None
    right: float | None = None
    log: bool = False
    weight: float = 0.6
    robust: bool = True
    cursor: float | None = None


def full_range(first: float, last: float, end: float | None = None) -> Range:
    """Return the x range that shows everything.

    It begins at 0 unless the data begin far from it. The right edge moves in round steps rather
    than with every point, so that most frames change a few cells only; it does not pass ``end``
    (the last step planned) before the data do.
    """
    low = 0.0 if 0 <= first <= last / 2 or first == last >= 0 else first
    span = last - low
    if span <= max(_SAME * abs(last), _SHORTEST):
        return low, low + max(1.0, 1e-9 * abs(low))
    high = _round_up(last, span)
    if end is not None and last <= end < high:
        high = end
    return low, high


def window(view: View, full: Range, last: float) -> Range:
    """Return the x range of ``view`` on data of the range ``full`` that end at ``last``."""
    low, high = full
    if view.span is None or view.span >= high - low:
        return full
    right = _round_up(last, view.span) if view.right is None else view.right
    right = min(high, max(right, low + view.span))
    return right - view.span, right


def zoom(view: View, factor: float, full: Range, last: float) -> View:
    """Return the view with its window ``factor`` times as wide.

    The newest point stays in sight while the view follows it; otherwise the crosshair, or the
    middle, stays where it is.
    """
    low, high = window(view, full, last)
    span = max(_LEAST_SPAN, (high - low) * factor)
    if span >= full[1] - full[0]:
        return replace(view, span=None, right=None)
    if view.right is None and view.cursor is None:
        return replace(view, span=span)
    middle = (low + high) / 2 if view.cursor is None else min(high, max(low, view.cursor))
    share = (high - middle) / (high - low)
    return _at(replace(view, span=span), middle + share * span, full)


def pan(view: View, share: float, full: Range, last: float) -> View:
    """Return the view moved by ``share`` of its window; at the right end it follows again."""
    if view.span is None:
        return view
    right = window(view, full, last)[1] + share * view.span
    if right >= full[1]:
        return replace(view, right=None)
    return _at(view, right, full)


def next_weight(weight: float) -> float:
    """Return the smoothing weight after ``weight``, the first one after the last."""
    return next((w for w in WEIGHTS if w > weight), WEIGHTS[0])


def value_range(values: Sequence[float], *, robust: bool) -> Range:
    """Return the y range for ``values`` (finite; for a log axis their logarithms).

    With ``robust`` the outermost 2.5 % at either end, at least one value, are left out if the range
    would otherwise be more than twice as wide: a spike at the first step then runs out of the
    picture instead of flattening everything else.
    """
    if not values:
        return 0.0, 1.0
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if robust and len(ordered) >= _FEWEST_TO_TRIM:
        cut = max(1, int(len(ordered) * _TRIMMED_SHARE))
        low, high = _without_spikes(ordered, cut)
    size = max(abs(low), abs(high))
    if high - low <= size * _SAME or size < _SMALLEST:
        margin = size * 0.1 if size >= _SMALLEST else 1.0
        return low - margin, high + margin
    return _round_out(low, high)


def with_level(around: Range, level: float) -> Range:
    """Return ``around`` widened to hold ``level``, unless that would more than double it."""
    low, high = min(around[0], level), max(around[1], level)
    if high - low > _SPIKE_FACTOR * (around[1] - around[0]):
        return around
    return around if (low, high) == around else _round_out(low, high)


def _at(view: View, right: float, full: Range) -> View:
    span = view.span or 0.0
    return replace(view, right=min(full[1], max(full[0] + span, right)))


def _round_up(value: float, span: float) -> float:
    step = nice_step(span / 20)
    return math.ceil(value / step - 1e-9) * step


def _round_out(low: float, high: float) -> Range:
    step = nice_step((high - low) / 20)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _without_spikes(ordered: Sequence[float], cut: int) -> Range:
    low, high = ordered[0], ordered[-1]
    inner_low, inner_high = ordered[cut], ordered[-1 - cut]
    inner = inner_high - inner_low
    if inner <= 0:
        return low, high
    if high - inner_high > (_SPIKE_FACTOR - 1) * inner:
        high = inner_high
    if inner_low - low > (_SPIKE_FACTOR - 1) * inner:
        low = inner_low
    return low, high
