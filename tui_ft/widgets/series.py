"""What a chart shows of a series: smoothing, gaps, and at most two points for each column.

A series is smoothed in full and then thinned out, never the other way round: a curve smoothed from
thinned points changes its shape with the width of the terminal. Everything here is plain Python on
`array`s: 200,000 points are extended by what is new and cut by bisection.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Markers = Literal["line", "points"]
Tone = Literal["primary", "secondary", "accent", "success", "warning", "error", "foreground"]
LARGEST: Final = 1e100
"""Beyond it a value counts as infinite: what a scale computes with it could overflow."""

Point = tuple[float, float]
Polyline = list[Point]


@dataclass(frozen=True, slots=True)
class SeriesData:
    """A named series as the caller holds it: ``x`` and ``y`` may grow, what they hold stays.

    Attributes:
        name: shown in the legend; unique within a chart.
        x: non-decreasing steps, tokens or seconds. Where it runs back (a run resumed from an older
            checkpoint) the earlier points from there on are replaced.
        y: as many values as ``x``. None: not measured, a gap. NaN and infinities: a gap that is
            marked on the axis.
        style: theme colour, by name.
        markers: a line, or single points (evaluations).
        smooth: whether smoothing applies (a learning rate is exact: it does not).
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: Tone = "primary"
    markers: Markers = "line"
    smooth: bool = True


class SeriesStore:
    """The finite points of an append-only series, where its gaps are, and its smoothed twin.

    Attributes:
        xs: x of the finite points, non-decreasing.
        ys: their values.
        breaks: ascending indices i: a gap lies between the points i - 1 and i.
        faults: x of the values that were NaN or infinite.
        last: the newest value as it was given, None or non-finite included.
    """

    def __init__(self) -> None:
        self.xs: array[float] = array("d")
        self.ys: array[float] = array("d")
        self.breaks: array[int] = array("q")
        self.faults: array[float] = array("d")
        self.last: float | None = None
        self._seen = 0
        self._first = 0.0
        self._newest: tuple[float, float | None] | None = None
        self._gap = False
        self._weight = 0.0
        self._smooth: array[float] = array("d")
        self._average, self._decay = 0.0, 1.0

    def extend(self, x: Sequence[float], y: Sequence[float | None]) -> bool:
        """Take over what is new in the full sequences ``x`` and ``y``; return whether any was.

        Sequences that are not a continuation of those seen before replace them.
        """
        length = min(len(x), len(y))
        if not self._continues(x, y, length):
            self._clear()
        elif length == self._seen:
            return False
        for index in range(self._seen, length):
            self._append(float(x[index]), y[index])
        self._seen = length
        if length:
            self._first = float(x[0])
            self._newest = (float(x[length - 1]), y[length - 1])
        return True

    def smoothed(self, weight: float) -> array[float]:
        """Return the smoothed values, one for each of ``ys``.

        Exponential moving average with bias correction, as in TensorBoard and wandb:
        s_i = w s_(i-1) + (1 - w) y_i with s_0 = 0, divided by 1 - w^i. Gaps are skipped. Only new
        points are computed when the weight is that of the call before.

        Args:
            weight: 0 (no smoothing, ``ys`` itself) to below 1.
        """
        if weight <= 0:
            return self.ys
        if self._weight != weight or len(self._smooth) > len(self.ys):
            self._weight, self._smooth = weight, array("d")
            self._average, self._decay = 0.0, 1.0
        average, decay, keep = self._average, self._decay, 1.0 - weight
        append = self._smooth.append
        for value in self.ys[len(self._smooth) :]:
            average = weight * average + keep * value
            decay *= weight
            append(average / (1.0 - decay))
        self._average, self._decay = average, decay
        return self._smooth

    def nearest(self, x: float) -> int | None:
        """Return the index of the finite point nearest to ``x``, None if there is none."""
        if not self.xs:
            return None
        right = bisect_left(self.xs, x)
        if right == len(self.xs):
            return right - 1
        if right and x - self.xs[right - 1] <= self.xs[right] - x:
            return right - 1
        return right

    def _clear(self) -> None:
        for stored in (self.xs, self.ys, self.breaks, self.faults, self._smooth):
            del stored[:]
        self.last = self._newest = None
        self._seen, self._gap, self._weight = 0, False, 0.0

    def _continues(self, x: Sequence[float], y: Sequence[float | None], length: int) -> bool:
        if self._newest is None:
            return True
        if length < self._seen or float(x[0]) != self._first:
            return False
        newest_x, newest_y = self._newest
        last_y = y[self._seen - 1]
        return float(x[self._seen - 1]) == newest_x and (
            last_y == newest_y or _both_nan(last_y, newest_y)
        )

    def _append(self, x: float, y: float | None) -> None:
        if not abs(x) <= LARGEST:
            return
        if (self.xs and x < self.xs[-1]) or (self.faults and x < self.faults[-1]):
            self._rewind(x)
        self.last = y
        if y is None or not abs(y) <= LARGEST:
            self._gap = True
            if y is not None:
                self.faults.append(x)
            return
        if self._gap and self.xs:
            self.breaks.append(len(self.xs))
        self._gap = False
        self.xs.append(x)
        self.ys.append(y)

    def _rewind(self, x: float) -> None:
        """Forget the points from ``x`` on: a resumed run trains these steps again."""
        keep = bisect_left(self.xs, x)
        gap = bisect_left(self.breaks, keep)
        self._gap = gap < len(self.breaks) and self.breaks[gap] == keep
        del self.xs[keep:], self.ys[keep:], self.breaks[gap:]
        del self.faults[bisect_left(self.faults, x) :]
        self._weight, self._smooth = 0.0, array("d")


def decimate(
    store: SeriesStore, values: Sequence[float], low: float, high: float, columns: int
) -> list[Polyline]:
    """Return what a chart of ``columns`` columns over [low, high] has to draw, as lines.

    Each column gives the smallest and the largest value in it, in the order in which they occur, so
    that no spike is lost (the core of M4, Jugel et al. 2014, section 4). A new line begins after
    every gap. The neighbours just outside the range come along, so that lines run to the edge.

    Args:
        store: gives x and gaps.
        values: one for each of ``store.xs``: the raw or the smoothed ones.
        low: left edge.
        high: right edge, above ``low``.
        columns: at least 1.
    """
    xs = store.xs
    first, end = bisect_left(xs, low), bisect_right(xs, high)
    if end - first <= 2 * columns:
        chosen = list(range(first, end))
    else:
        chosen = _extremes(xs, values, (first, end), (low, high), columns)
    if first > 0:
        chosen.insert(0, first - 1)
    if end < len(xs):
        chosen.append(end)
    return _split_at_gaps(xs, values, chosen, store.breaks)


def _extremes(
    xs: Sequence[float],
    values: Sequence[float],
    span: tuple[int, int],
    edges: tuple[float, float],
    columns: int,
) -> list[int]:
    low, high = edges
    start, end = span
    chosen: list[int] = []
    for column in range(columns):
        if column == columns - 1:
            stop = end
        else:
            edge = low + (high - low) * (column + 1) / columns
            stop = bisect_left(xs, edge, start, end)
        if stop > start:
            part = values[start:stop]
            smallest, largest = part.index(min(part)), part.index(max(part))
            chosen.extend(start + i for i in sorted({smallest, largest}))
        start = stop
    return chosen


def _split_at_gaps(
    xs: Sequence[float], values: Sequence[float], chosen: Sequence[int], breaks: Sequence[int]
) -> list[Polyline]:
    lines: list[Polyline] = []
    previous: int | None = None
    for index in chosen:
        if previous is None or bisect_right(breaks, index) > bisect_right(breaks, previous):
            lines.append([])
        lines[-1].append((xs[index], values[index]))
        previous = index
    return lines


def _both_nan(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and math.isnan(a) and math.isnan(b)
