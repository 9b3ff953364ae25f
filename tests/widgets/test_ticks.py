from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_ft.widgets.ticks import (
    linear_ticks,
    log_ticks,
    nice_step,
    short_label,
    tick_labels,
    x_label,
    x_labels,
    x_ticks,
)


@pytest.mark.parametrize(
    ("least", "step"), [(1, 1), (1.1, 2), (2.1, 5), (5.1, 10), (0.03, 0.05), (700, 1000)]
)
def test_steps_are_one_two_or_five(least: float, step: float) -> None:
    assert nice_step(least) == pytest.approx(step)


def test_linear_ticks_are_multiples_of_the_step_within_the_range() -> None:
    assert linear_ticks(0.83, 1.92, 5) == pytest.approx([1.0, 1.5])
    assert linear_ticks(0, 1000, 5) == [0, 200, 400, 600, 800, 1000]
    assert linear_ticks(-1, 1, 4) == pytest.approx([-1, -0.5, 0, 0.5, 1])


@settings(max_examples=100)
@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(1, 12))
def test_linear_ticks_are_few_and_inside(low: float, span: float, count: int) -> None:
    ticks = linear_ticks(low, low + span, count)
    assert len(ticks) <= count + 1
    assert all(low - span * 1e-6 <= t <= low + span * (1 + 1e-6) for t in ticks)


def test_log_ticks_are_powers_of_ten_with_two_and_five_where_there_is_room() -> None:
    assert log_ticks(0.001, 10, 4) == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert log_ticks(0.1, 1.1, 6) == pytest.approx([0.1, 0.2, 0.5, 1])
    assert log_ticks(1, 2, 5) == pytest.approx([1, 1.2, 1.4, 1.6, 1.8, 2])
    assert len(log_ticks(1e-12, 1e12, 4)) <= 6


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0, 0.5, 1.0], ["0", "0.5", "1.0"]),
        ([0.80, 0.82, 0.84], ["0.80", "0.82", "0.84"]),
        ([2.3001, 2.3002], ["2.3001", "2.3002"]),
        ([0, 1e-4, 2e-4], ["0", "1e-4", "2e-4"]),
        ([1e-5, 1.5e-5], ["1.0e-5", "1.5e-5"]),
        ([0, 500, 1000], ["0", "500", "1,000"]),
        ([0, 50_000, 100_000], ["0", "50 k", "100 k"]),
        ([1e6, 1.5e6], ["1.0 M", "1.5 M"]),
        ([0.001, 0.01, 0.1, 1, 10], ["0.001", "0.01", "0.1", "1", "10"]),
        ([1e-6, 1e-5, 1e-4], ["1e-6", "1e-5", "1e-4"]),
        ([1e3, 1e4, 1e5, 1e6], ["1,000", "10,000", "100 k", "1 M"]),
        ([0.5], ["0.500"]),
        ([], []),
    ],
)
def test_labels_tell_ticks_apart_and_no_more(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


def test_x_ticks_are_whole_steps_and_clock_times() -> None:
    assert x_ticks(0, 3, 10, "step") == [0, 1, 2, 3]
    assert x_ticks(0, 3600, 5, "time") == [0, 900, 1800, 2700, 3600]
    assert x_labels([0, 900, 3600], "time") == ["0:00", "15:00", "1:00:00"]
    week = x_ticks(0, 7 * 86_400, 3, "time")
    assert all(t % 86_400 == 0 for t in week)
    assert len(week) > 1


def test_one_x_value_is_written_in_its_unit() -> None:
    assert x_label(1240, "step") == "1,240"
    assert x_label(3_100_000, "tokens") == "3.10 M"
    assert x_label(845, "time") == "14:05"
    assert not math.isnan(float(x_label(7, "tokens")))


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (0.8123, "0.812"), (2e-4, "2e-4"), (-1.43e-5, "-1.43e-5"), (1.2e6, "1.20 M")],
)
def test_a_value_at_the_end_of_an_axis_is_short(value: float, label: str) -> None:
    assert short_label(value) == label
