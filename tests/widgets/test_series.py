from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_ft.widgets.series import SeriesStore, decimate


def stored(x: list[float], y: list[float | None]) -> SeriesStore:
    store = SeriesStore()
    store.extend(x, y)
    return store


def test_smoothing_equals_a_series_computed_by_hand() -> None:
    # w = 0.5: averages 0.5, 1.25, 2.625 over 1 - w^i = 0.5, 0.75, 0.875
    store = stored([1, 2, 3], [1.0, 2.0, 4.0])
    assert list(store.smoothed(0.5)) == pytest.approx([1.0, 5 / 3, 3.0])


def test_smoothing_of_a_constant_is_the_constant_from_the_first_point_on() -> None:
    assert list(stored([1, 2, 3], [7.0] * 3).smoothed(0.98)) == pytest.approx([7.0] * 3)


def test_gaps_and_nan_do_not_smear_into_their_neighbours() -> None:
    whole = stored([1, 2, 3, 4], [1.0, 2.0, 4.0, 8.0]).smoothed(0.9)
    holed = stored(
        [1, 2, 2.3, 2.5, 2.6, 3, 4], [1.0, 2.0, None, math.nan, math.inf, 4.0, 8.0]
    ).smoothed(0.9)
    assert holed == whole


def test_smoothing_a_growing_series_equals_smoothing_it_at_once() -> None:
    x = [float(i) for i in range(50)]
    y: list[float | None] = [math.sin(i) for i in range(50)]
    store = SeriesStore()
    for length in (1, 7, 8, 30, 50):
        assert store.extend(x[:length], y[:length])
        assert len(store.smoothed(0.9)) == length
    assert store.smoothed(0.9) == stored(x, y).smoothed(0.9)
    assert store.smoothed(0.6) == stored(x, y).smoothed(0.6)


def test_no_smoothing_gives_the_values_themselves() -> None:
    assert list(stored([1, 2], [3.0, 5.0]).smoothed(0)) == [3.0, 5.0]


def test_extend_tells_whether_anything_was_new() -> None:
    store = SeriesStore()
    assert not store.extend([], [])
    assert store.extend([1.0], [2.0])
    assert not store.extend([1.0], [2.0])
    assert store.extend([1.0, 2.0], [2.0, math.nan])
    assert not store.extend([1.0, 2.0], [2.0, math.nan])
    assert store.extend([1.0, 2.0, 3.0], [2.0, math.nan, 1.0])
    assert list(store.xs) == [1.0, 3.0]


def test_another_series_replaces_the_one_before() -> None:
    store = stored([1, 2, 3], [1.0, 2.0, 3.0])
    store.smoothed(0.9)
    assert store.extend([10, 20, 30, 40], [1.0, 2.0, 3.0, 4.0])
    assert list(store.xs) == [10, 20, 30, 40]
    assert len(store.smoothed(0.9)) == 4


def test_steps_run_again_after_a_resume_replace_the_first_attempt() -> None:
    store = stored([10, 20, 30, 40], [4.0, 3.0, 9.0, 9.0])
    store.smoothed(0.9)
    store.extend([10, 20, 30, 40, 30, 40], [4.0, 3.0, 9.0, 9.0, 2.0, 1.0])
    assert list(store.xs) == [10, 20, 30, 40]
    assert list(store.ys) == [4.0, 3.0, 2.0, 1.0]
    assert store.smoothed(0.9) == stored([10, 20, 30, 40], [4.0, 3.0, 2.0, 1.0]).smoothed(0.9)


def test_a_fault_before_the_resumed_step_stays_and_one_after_it_goes() -> None:
    store = stored([1, 2, 3, 4, 3, 4], [1.0, math.nan, 1.0, math.inf, 1.0, 1.0])
    assert list(store.faults) == [2.0]
    assert list(store.xs) == [1, 3, 4]
    assert list(store.breaks) == [1]


def test_none_is_a_gap_and_nan_a_gap_and_a_fault() -> None:
    store = stored([1, 2, 3, 4, 5, 6], [1.0, None, 2.0, math.nan, math.inf, 3.0])
    assert list(store.ys) == [1.0, 2.0, 3.0]
    assert list(store.breaks) == [1, 2]
    assert list(store.faults) == [4.0, 5.0]
    assert store.last == 3.0


def test_the_nearest_point_is_found_from_either_side() -> None:
    store = stored([10, 20, 40], [1.0, 2.0, 3.0])
    assert [store.nearest(x) for x in (-5, 14, 16, 29, 31, 99)] == [0, 0, 1, 1, 2, 2]
    assert SeriesStore().nearest(1) is None


def test_few_points_are_drawn_as_they_are() -> None:
    lines = decimate(store := stored([1, 2, 3], [5.0, 1.0, 3.0]), store.ys, 0, 4, 10)
    assert lines == [[(1, 5.0), (2, 1.0), (3, 3.0)]]


def test_a_gap_splits_the_line_also_between_columns() -> None:
    x = [float(i) for i in range(1000)]
    y: list[float | None] = [None if 400 <= i < 600 else 1.0 * i for i in range(1000)]
    store = stored(x, y)
    lines = decimate(store, store.ys, 0, 1000, 20)
    assert len(lines) == 2
    assert lines[0][-1][0] == 399
    assert lines[1][0][0] == 600


def test_neighbours_outside_the_range_come_along() -> None:
    store = stored([0, 10, 20, 30], [0.0, 1.0, 2.0, 3.0])
    assert decimate(store, store.ys, 12, 22, 5) == [[(10, 1.0), (20, 2.0), (30, 3.0)]]
    assert decimate(store, store.ys, 12, 18, 5) == [[(10, 1.0), (20, 2.0)]]


def test_the_smoothed_twin_is_thinned_after_it_was_smoothed() -> None:
    x = [float(i) for i in range(5000)]
    y: list[float | None] = [float(i % 7) for i in range(5000)]
    store = stored(x, y)
    smooth = store.smoothed(0.98)
    drawn = [v for line in decimate(store, smooth, 0, 5000, 10) for _, v in line]
    assert set(drawn) <= set(smooth)
    assert max(drawn) == max(smooth)
    assert min(drawn) == min(smooth)


@settings(max_examples=60)
@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=400
    ),
    columns=st.integers(1, 30),
)
def test_decimation_keeps_smallest_and_largest_of_every_column(
    values: list[float | None], columns: int
) -> None:
    x = [float(i) for i in range(len(values))]
    store = stored(x, values)
    low, high = 0.0, float(len(values))
    drawn = [p for line in decimate(store, store.ys, low, high, columns) for p in line]
    assert len(drawn) <= 2 * columns
    assert [p[0] for p in drawn] == sorted(p[0] for p in drawn)
    for column in range(columns):
        left = low + (high - low) * column / columns
        right = low + (high - low) * (column + 1) / columns
        inside = [v for i, v in zip(store.xs, store.ys, strict=True) if left <= i < right]
        shown = [v for i, v in drawn if left <= i < right]
        assert bool(inside) == bool(shown)
        if inside:
            assert (min(shown), max(shown)) == (min(inside), max(inside))


@settings(max_examples=60)
@given(values=st.lists(st.one_of(st.none(), st.floats(-10, 10)), max_size=200))
def test_no_line_crosses_a_gap(values: list[float | None]) -> None:
    x = [float(i) for i in range(len(values))]
    store = stored(x, values)
    for line in decimate(store, store.ys, 0.0, float(len(values) or 1), 8):
        first, last = int(line[0][0]), int(line[-1][0])
        assert None not in values[first : last + 1]


def test_200_000_points_are_stored_flat() -> None:
    x = [float(i) for i in range(200_000)]
    y: list[float | None] = [1.0] * 200_000
    store = stored(x, y)
    assert isinstance(store.xs, array)
    lines = decimate(store, store.smoothed(0.9), 0, 200_000, 300)
    assert len(lines[0]) <= 600
