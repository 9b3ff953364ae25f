"""How figures compare with what was measured on this machine, and the correction from it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from tui_ft.memory.figure import CONTEXT, CONTEXT_HIGH, CONTEXT_LOW, Band, Figure, Term

_ENOUGH: Final = 3


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run: what was predicted, and the peak that torch measured; bytes reserved.

    Attributes:
        run: its id.
        method: its method's kind, such as lora.
        predicted: None where the dry run gives no answer.
    """

    run: str
    method: str = ""
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
        least: the least of measured over predicted, and at most the factor.
        most: the most of it, and at least the factor.
        method: the kind of method whose runs these are; empty for runs of every kind.
    """

    runs: int
    factor: float
    worst_under: float
    least: float = 1.0
    most: float = 1.0
    method: str = ""

    def __str__(self) -> str:
        """Return what is done to a figure, as a part of a sentence; empty when nothing is."""
        if self.runs < _ENOUGH:
            return ""
        kind = f"{self.method} " if self.method else ""
        return f"corrected by {self.factor:.2f} from {self.runs} {kind}runs on this machine"


def correction(compared: Sequence[Compared], method: str | None = None) -> Correction:
    """Return the correction that finished runs call for.

    Below three runs there is none: one run may be odd in any way.

    Args:
        compared: finished runs.
        method: a kind of method, whose own runs are taken where there are three of them; else runs
            of every kind are.
    """
    usable = [one for one in compared if one.predicted]
    own = [one for one in usable if one.method == method]
    kind = method if method and len(own) >= _ENOUGH else ""
    shares = [one.measured / one.predicted for one in (own if kind else usable) if one.predicted]
    if not shares:
        return Correction(runs=0, factor=1.0, worst_under=0.0)
    under = max(0.0, max(shares) - 1)
    if len(shares) < _ENOUGH:
        return Correction(runs=len(shares), factor=1.0, worst_under=under)
    factor = statistics.median(shares)
    return Correction(
        runs=len(shares),
        factor=factor,
        worst_under=under,
        least=min(shares),
        most=max(shares),
        method=kind,
    )


def corrected(figure: Figure, by: Correction) -> Figure:
    """Return a figure as this machine's runs correct it; it keeps the one that was computed.

    What torch's allocator takes is multiplied by the factor. The band widens to what the runs have
    shown: from the least of them below what tensors take, to the most above what is expected. What
    CUDA takes beside the allocator is not in the runs' figures and stays as it is.
    """
    if by.runs < _ENOUGH or figure.computed is not None:
        return figure
    reserved = figure.expected - CONTEXT
    expected = round(reserved * by.factor) + CONTEXT
    low = round((figure.low - CONTEXT_LOW) * min(by.factor, by.least)) + CONTEXT_LOW
    seen = round(max((figure.high - CONTEXT_HIGH) * by.factor, reserved * by.most)) + CONTEXT_HIGH
    change = expected - figure.expected
    return msgspec.structs.replace(
        figure,
        low=min(low, expected),
        expected=expected,
        high=max(seen, expected),
        terms=(*figure.terms, Term("correction", change)) if change else figure.terms,
        computed=Band(figure.low, figure.expected, figure.high),
        correction=str(by),
    )
