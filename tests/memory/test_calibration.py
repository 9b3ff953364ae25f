"""What this machine's runs do to a figure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.memory.allocator import GIB
from tui_ft.memory.calibration import Compared, Correction, corrected, correction
from tui_ft.memory.figure import CONTEXT, Band, Figure, Term


def _figure(low: int = 10 * GIB, expected: int = 12 * GIB, high: int = 13 * GIB) -> Figure:
    return Figure(
        low=low,
        expected=expected,
        high=high,
        terms=(Term("weights", expected),),
        stage="backward",
        source="dry run",
    )


def _run(share: float, method: str = "lora") -> Compared:
    return Compared(run="r", method=method, predicted=1000, measured=round(1000 * share))


shares = st.lists(st.floats(0.5, 2.0), max_size=9)


@given(shares)
def test_the_band_stays_in_order_and_the_parts_sum_up(measured: list[float]) -> None:
    raw = _figure()
    found = correction([_run(share) for share in measured])
    figure = corrected(raw, found)
    assert figure.low <= figure.expected <= figure.high
    assert sum(term.size for term in figure.terms) == figure.expected
    if len(measured) < 3:
        assert figure == raw
        return
    assert figure.computed == Band(raw.low, raw.expected, raw.high)
    assert figure.correction.endswith(f"from {len(measured)} lora runs on this machine") or (
        figure.correction.endswith(f"from {len(measured)} runs on this machine")
    )
    # The high figure covers the worst that was seen: of every run, what it would have measured.
    worst = max(one.measured / 1000 for one in map(_run, measured))
    assert figure.high >= (raw.expected - CONTEXT) * worst + CONTEXT - 1


@given(shares, st.floats(1.0, 1.5))
def test_runs_that_took_more_never_make_a_figure_smaller(
    measured: list[float], more: float
) -> None:
    less = corrected(_figure(), correction([_run(share) for share in measured]))
    greater = corrected(_figure(), correction([_run(share * more) for share in measured]))
    assert greater.expected >= less.expected - 1
    assert greater.high >= less.high - 1


def test_a_figure_is_corrected_once_and_context_is_not() -> None:
    by = Correction(runs=4, factor=1.1, worst_under=0.2, least=0.9, most=1.2)
    figure = corrected(_figure(), by)
    assert figure.expected == pytest.approx((12 * GIB - CONTEXT) * 1.1 + CONTEXT, abs=1)
    assert figure.correction == "corrected by 1.10 from 4 runs on this machine"
    assert corrected(figure, by) == figure


def test_a_methods_own_runs_are_taken_where_there_are_enough() -> None:
    runs = [*[_run(1.0, "full")] * 3, _run(1.2), _run(1.2)]
    assert correction(runs, "lora").factor == 1.0
    assert correction(runs, "lora").method == ""
    enough = correction([*runs, _run(1.2)], "lora")
    assert (enough.factor, enough.runs, enough.method) == (1.2, 3, "lora")
