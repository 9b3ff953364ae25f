"""How often each value occurs, and what can be told from that alone."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

PERCENTILES: Final = (50, 90, 95, 99, 100)

Counts = Mapping[int, int]
"""A value, such as a row's length -> how many rows have it."""


def total_of(counts: Counts) -> int:
    """Return the sum over all rows."""
    return sum(value * rows for value, rows in counts.items())


def percentiles(counts: Counts, wanted: Sequence[float] = PERCENTILES) -> tuple[int, ...]:
    """Return values at percentiles (0 to 100), by the nearest rank; zeros for no rows."""
    ordered = sorted(counts)
    if not ordered:
        return tuple(0 for _ in wanted)
    ranks = list(accumulate(counts[value] for value in ordered))
    return tuple(
        ordered[bisect_left(ranks, max(1, math.ceil(ranks[-1] * percentile / 100)))]
        for percentile in wanted
    )


def histogram(counts: Counts, bins: int) -> tuple[list[int], int]:
    """Return rows in ``bins`` bins of one width from 0, and the width; the last takes the longest.

    The width is round (1, 2, 5 times a power of ten), and the bins end near the 99.5th percentile.
    """
    if not counts:
        return [0] * bins, 1
    top = max(1, percentiles(counts, (99.5,))[0])
    raw = max(1.0, top / bins)
    power = 10 ** math.floor(math.log10(raw))
    width = next(int(power * n) for n in (1, 2, 5, 10) if power * n >= raw)
    filled = [0] * bins
    for value, rows in counts.items():
        filled[min(value // width, bins - 1)] += rows
    return filled, width
