from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.widgets.view import (
    View,
    full_range,
    next_weight,
    pan,
    value_range,
    window,
    with_level,
    zoom,
)


def test_the_axis_begins_at_zero_unless_the_data_begin_far_from_it() -> None:
    assert full_range(10, 1000)[0] == 0
    assert full_range(900, 1000)[0] == 900
    assert full_range(0, 0) == (0, 1)
    assert full_range(7, 7)[0] == 0


def test_the_right_edge_moves_in_round_steps_and_stops_at_the_planned_end() -> None:
    assert full_range(0, 1201)[1] == full_range(0, 1299)[1] == 1300
    assert full_range(0, 1240, end=1250)[1] == 1250
    assert full_range(0, 1240, end=1000)[1] == 1300
    assert full_range(0, 20, end=1560)[1] == 20


def test_zooming_in_follows_the_newest_point() -> None:
    full = (0.0, 1000.0)
    view = zoom(View(), 0.5, full, 1000)
    assert window(view, full, 1000) == (500, 1000)
    assert window(view, (0.0, 1200.0), 1200) == (700, 1200)


def test_zooming_out_comes_back_to_everything() -> None:
    full = (0.0, 1000.0)
    view = zoom(zoom(zoom(View(), 0.5, full, 1000), 2, full, 1000), 2, full, 1000)
    assert view == View()


def test_panning_leaves_the_newest_point_and_comes_back_to_it() -> None:
    full = (0.0, 1000.0)
    view = zoom(View(), 0.5, full, 1000)
    left = pan(view, -0.5, full, 1000)
    assert window(left, full, 1000) == (250, 750)
    assert window(left, (0.0, 2000.0), 2000) == (250, 750)
    assert pan(left, 0.5, full, 1000) == view
    assert window(pan(left, -9, full, 1000), full, 1000) == (0, 500)
    assert pan(View(), -0.5, full, 1000) == View()


def test_a_window_that_stands_still_keeps_its_middle_when_zoomed() -> None:
    full = (0.0, 1000.0)
    view = zoom(View(span=500, right=750), 0.5, full, 1000)
    assert window(view, full, 1000) == (375, 625)


def test_zooming_keeps_the_crosshair_in_place() -> None:
    full = (0.0, 1000.0)
    view = zoom(View(cursor=200.0), 0.5, full, 1000)
    low, high = window(view, full, 1000)
    assert (200 - low) / (high - low) == pytest.approx(0.2)


@given(st.lists(st.sampled_from(["in", "out", "left", "right"]), max_size=30))
def test_the_window_never_leaves_the_data(moves: list[str]) -> None:
    full, view = (0.0, 1300.0), View()
    for move in moves:
        if move in ("in", "out"):
            view = zoom(view, 0.5 if move == "in" else 2.0, full, 1240)
        else:
            view = pan(view, -0.25 if move == "left" else 0.25, full, 1240)
        low, high = window(view, full, 1240)
        assert full[0] <= low < high <= full[1] + 1e-9
        assert high - low >= 4 - 1e-9


def test_one_spike_does_not_flatten_the_rest() -> None:
    values = [100.0] + [1 + i / 100 for i in range(50)]
    low, high = value_range(values, robust=True)
    assert low <= 1 and 1.4 < high < 2
    assert value_range(values, robust=False)[1] >= 100


def test_a_falling_curve_is_not_taken_for_a_spike() -> None:
    values = [0.8 + 3 * 0.9**i for i in range(100)]
    assert value_range(values, robust=True)[1] >= 3.8


def test_constant_values_get_room_around_them() -> None:
    assert value_range([2.0, 2.0], robust=True) == pytest.approx((1.8, 2.2))
    assert value_range([0.0], robust=True) == (-1, 1)
    assert value_range([], robust=True) == (0, 1)


def test_positive_values_never_get_a_negative_axis() -> None:
    assert value_range([0.001, 0.9], robust=False)[0] >= 0


def test_a_level_widens_the_range_only_while_it_is_near() -> None:
    assert with_level((0.0, 1.0), 1.4)[1] >= 1.4
    assert with_level((0.0, 1.0), 50.0) == (0.0, 1.0)
    assert with_level((0.0, 1.0), 0.5) == (0.0, 1.0)


def test_smoothing_weights_come_round() -> None:
    seen, weight = [], 0.0
    for _ in range(4):
        weight = next_weight(weight)
        seen.append(weight)
    assert seen == [0.6, 0.9, 0.98, 0.0]
    assert next_weight(0.7) == 0.9
