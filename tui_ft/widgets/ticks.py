"""Axis ticks at round numbers (1-2-5, powers of ten, clock times) and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from tui_ft import text

XKind = Literal["step", "tokens", "time"]
"""What an x axis counts: optimizer steps, tokens, or seconds since the run began."""

_CLOCK_STEPS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800,
    3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
)  # fmt: skip
_DAY: Final = 86_400
_PLAIN_UP_TO: Final = 1e5
_PLAIN_FROM: Final = 1e-3


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least ``least`` (> 0)."""
    magnitude = 10.0 ** math.floor(math.log10(least))
    for factor in (1, 2, 5):
        if factor * magnitude >= least * (1 - 1e-9):
            return factor * magnitude
    return 10 * magnitude


def linear_ticks(low: float, high: float, count: int) -> list[float]:
    """Return at most ``count`` + 1 multiples of a 1-2-5 step within [low, high]."""
    if not low < high:
        return [low]
    return _multiples(low, high, nice_step((high - low) / max(1, count)))


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Return ticks for a logarithmic axis over [low, high], 0 < low < high.

    Powers of ten (every second, third ... when there are many), with 2 and 5 between them while
    there is room. Below half a decade the axis is nearly linear and gets linear ticks.
    """
    decades = math.log10(high / low)
    if decades < 0.5:  # noqa: PLR2004 - a factor of three holds too few of 1, 2 and 5
        return linear_ticks(low, high, count)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if decades * 3 <= count else (1,)
    widest = max(1, math.ceil(decades / max(1, count)))
    for stride in range(widest, 0, -1):
        ticks = [f * 10.0**e for e in range(first, last + 1, stride) for f in factors]
        inside = [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
        if len(inside) > 1:
            return inside
    return [t for t in linear_ticks(low, high, count) if t > 0]


def x_ticks(low: float, high: float, count: int, kind: XKind) -> list[float]:
    """Return ticks of an x axis: whole steps and tokens, and times a clock would show."""
    if not low < high:
        return [low]
    least = (high - low) / max(1, count)
    if kind != "time":
        return _multiples(low, high, max(1.0, nice_step(least)))
    step = next((s for s in _CLOCK_STEPS if s >= least), None)
    return _multiples(low, high, step or _DAY * nice_step(least / _DAY))


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return labels with as many decimals as tell the ticks apart, alike for all of an axis.

    0.001 to 99,999 is written out, smaller with one common exponent (`1.5e-4`), larger with a
    unit (`120 k`). Ticks of a logarithmic axis are round and written each by itself.
    """
    if not ticks:
        return []
    if _is_geometric(ticks):
        return [_lone(t) for t in ticks]
    top = max(abs(t) for t in ticks)
    if top == 0:
        return ["0" for _ in ticks]
    if top >= _PLAIN_UP_TO:
        exponent = min(12, math.floor(math.log10(top)) // 3 * 3)
        return [_scaled(t, exponent, ticks, _unit(exponent)) for t in ticks]
    if top < _PLAIN_FROM:
        exponent = math.floor(math.log10(top) + 1e-9)
        return [_scaled(t, exponent, ticks, f"e{exponent}") for t in ticks]
    return [_scaled(t, 0, ticks, "") for t in ticks]


def short_label(value: float) -> str:
    """Return any value with 3 significant digits in at most 8 cells: `0.812`, `2e-4`."""
    if value == 0 or abs(value) >= _PLAIN_FROM:
        return text.significant(value) if abs(value) < _PLAIN_UP_TO else text.count(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def x_label(value: float, kind: XKind) -> str:
    """Return one x value: `1,240`, `3.1 M` tokens, `0:14:05`."""
    if kind == "time":
        return text.duration(value)
    if kind == "tokens" and abs(value) >= 1000:  # noqa: PLR2004 - counts below are exact
        return text.count(value)
    return f"{value:,.0f}"


def x_labels(ticks: Sequence[float], kind: XKind) -> list[str]:
    """Return the labels of an x axis."""
    if kind == "time":
        return [text.duration(t) for t in ticks]
    return tick_labels(ticks)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _scaled(tick: float, exponent: int, ticks: Sequence[float], suffix: str) -> str:
    if tick == 0:
        return "0"
    scale = 10.0**exponent
    decimals = _decimals([t / scale for t in ticks])
    return f"{tick / scale:,.{decimals}f}{suffix}"


def _decimals(ticks: Sequence[float]) -> int:
    """Return the fewest decimals that show every tick exactly (a lone tick: 3 digits)."""
    if len(ticks) == 1:
        return max(0, 2 - math.floor(math.log10(abs(ticks[0])))) if ticks[0] else 0
    tolerance = min(abs(b - a) for a, b in pairwise(ticks)) * 1e-3
    for decimals in range(12):
        if all(abs(round(t, decimals) - t) <= tolerance for t in ticks):
            return decimals
    return 12


def _is_geometric(ticks: Sequence[float]) -> bool:
    if len(ticks) < 3 or ticks[0] <= 0:  # noqa: PLR2004 - two ticks have no progression
        return False
    return all(b / a > 1.9 for a, b in pairwise(ticks))  # noqa: PLR2004


def _lone(tick: float) -> str:
    """Return a round number: `0.001`, `5`, `2e-5`, `200 k`."""
    if tick >= _PLAIN_UP_TO:
        exponent = min(12, math.floor(math.log10(tick) + 1e-9) // 3 * 3)
        return f"{tick / 10.0**exponent:g}{_unit(exponent)}"
    if tick < _PLAIN_FROM * (1 - 1e-9):
        return f"{tick:.0e}".replace("e-0", "e-")
    return f"{tick:,.10g}"


def _unit(exponent: int) -> str:
    return {3: " k", 6: " M", 9: " G", 12: " T"}[exponent]
