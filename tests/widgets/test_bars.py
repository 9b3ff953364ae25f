from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.widgets.bars import bar, bar_string, gauge_line, sparkline


@pytest.mark.parametrize(
    ("fraction", "drawn"),
    [
        (0.0, "    "),
        (0.001, "▏   "),
        (1 / 32, "▏   "),
        (2 / 32, "▎   "),
        (0.25, "█   "),
        (0.5 + 3 / 32, "██▍ "),
        (0.999, "███▉"),
        (1.0, "████"),
        (1.7, "████"),
        (-0.2, "    "),
    ],
)
def test_a_bar_is_right_to_the_eighth_of_a_cell(fraction: float, drawn: str) -> None:
    assert bar_string(fraction, 4, ascii=False) == drawn


def test_the_predicted_share_follows_the_measured_one() -> None:
    assert bar_string(0.5, 8, predicted=0.75, ascii=False) == "████░░  "
    assert bar_string(0.55, 10, predicted=0.9, ascii=False) == "█████▌░░░ "


def test_a_prediction_that_was_passed_is_marked_inside_the_bar() -> None:
    assert bar_string(0.75, 8, predicted=0.5, ascii=False) == "███░██  "


def test_what_is_not_known_is_not_drawn_as_zero() -> None:
    assert bar_string(None, 6, ascii=False) == "n/a   "
    assert bar_string(math.nan, 6, predicted=0.9, ascii=False) == "n/a   "
    assert bar(None, 6).plain == "n/a   "


def test_ascii_bars_use_whole_cells() -> None:
    assert bar_string(0.5, 8, predicted=0.75, ascii=True) == "####..  "
    assert bar_string(0.01, 8, ascii=True) == "#       "
    assert bar_string(0.99, 8, ascii=True) == "####### "
    assert bar_string(0.5, 8, predicted=0.25, ascii=True).isascii()


@given(
    fraction=st.one_of(st.none(), st.floats()),
    predicted=st.one_of(st.none(), st.floats()),
    width=st.integers(-1, 40),
    ascii=st.booleans(),
)
def test_a_bar_is_always_as_wide_as_asked(
    fraction: float | None, predicted: float | None, width: int, ascii: bool
) -> None:
    assert len(bar_string(fraction, width, predicted=predicted, ascii=ascii)) == max(0, width)


def test_a_sparkline_spans_its_values_and_keeps_the_newest_on_the_right() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8, ascii=False) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 7], 4, ascii=False) == "  ▁█"
    assert sparkline([0, 7], 4, ascii=True) == "  _#"


def test_a_sparkline_loses_no_peak_and_draws_no_missing_value() -> None:
    assert sparkline([0, 0, 0, 9, 0, 0, 0, 0], 4, ascii=False) == "▁█▁▁"
    assert sparkline([1.0, None, math.nan, 2.0], 4, ascii=False) == "▁  █"
    assert sparkline([], 3, ascii=False) == "   "


def test_a_sparkline_of_shares_can_have_a_fixed_scale() -> None:
    assert sparkline([0.5, 0.5], 2, low=0, high=1, ascii=False) == "▅▅"


def test_a_gauge_line_is_as_wide_as_asked_and_aligned() -> None:
    line = gauge_line("memory", "9.4 GB", 0.5, 40, value_width=10, ascii=False)
    assert line.plain == "memory   " + "█" * 9 + "▌" + " " * 9 + "  9.4 GB    "
    assert gauge_line("memory", "9.4 GB", 0.5, 18).plain == "memory   9.4 GB   "
    assert len(gauge_line("memory", "9.4 GB", None, 30).plain) == 30
