"""How figures compare with what was measured on this machine, and the correction from it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

_ENOUGH: Final = 3


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run: what was predicted, and the peak that torch measured; bytes reserved.

    Attributes:
        run: its id.
        predicted: None where the dry run gives no answer.
    """

    run: str
    predicted: int | None
    measured: int

    @property
    def error(self) -> float | None:
        """The prediction's error as a share of what was measured; above 0 was too much."""
        return None if self.predicted is None else self.predicted / self.measured - 1


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine's runs say of its figures.

    Attributes:
        runs: how many could be compared.
        factor: the median of measured over predicted; 1 until there are enough runs.
        worst_under: the largest share by which a prediction was too low; 0 when none was.
    """

    runs: int
    factor: float
    worst_under: float


def correction(compared: Sequence[Compared]) -> Correction:
    """Return the correction that finished runs call for.

    Below three runs there is none: one run may be odd in any way.
    """
    shares = [one.measured / one.predicted for one in compared if one.predicted]
    if not shares:
        return Correction(runs=0, factor=1.0, worst_under=0.0)
    factor = statistics.median(shares) if len(shares) >= _ENOUGH else 1.0
    return Correction(runs=len(shares), factor=factor, worst_under=max(0.0, max(shares) - 1))
