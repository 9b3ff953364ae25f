from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from tui_ft.widgets.plot import Frame, draw
from tui_ft.widgets.scene import Curve, Level, Palette, Scene
from tui_ft.widgets.series import SeriesData, SeriesStore
from tui_ft.widgets.ticks import XKind
from tui_ft.widgets.view import View

PLAIN = Style.null()
PALETTE = Palette(
    {
        "primary": PLAIN,
        "secondary": PLAIN,
        "accent": PLAIN,
        "success": PLAIN,
        "warning": PLAIN,
        "error": PLAIN,
        "foreground": PLAIN,
    },
    PLAIN,
    PLAIN,
    PLAIN,
)
RAW = View(weight=0)


def scene(*series: SeriesData, view: View = RAW, levels: Sequence[Level] = ()) -> Scene:
    curves = []
    for data in series:
        store = SeriesStore()
        store.extend(data.x, data.y)
        curves.append(Curve(data, store))
    return Scene(curves, view, PALETTE, levels)


def lines(frame: Frame) -> list[str]:
    return ["".join(segment.text for segment in row) for row in frame.rows]


def ramp(count: int = 101) -> SeriesData:
    return SeriesData("loss", list(range(count)), [i / (count - 1) for i in range(count)])


def test_a_rising_line_runs_from_corner_to_corner() -> None:
    picture = lines(draw(scene(ramp()), 60, 20))
    plot = [row.split("│")[-1].split("┤")[-1] for row in picture[1:-2]]
    assert "⢀" in plot[0][-4:] or "⡠" in plot[0][-4:] or "⠔" in plot[0][-4:]
    assert plot[-1][0] != " "
    assert plot[0][:40].strip() == "" and plot[-1][10:].strip() == ""


def test_axes_have_round_ticks_in_their_places() -> None:
    picture = lines(draw(scene(ramp()), 60, 20))
    labelled = [row.split("┤")[0].strip() for row in picture if "┤" in row]
    assert labelled == ["1.0", "0.8", "0.6", "0.4", "0.2", "0"]
    assert picture[-1].split() == ["0", "20", "40", "60", "80", "step"]
    zero = picture[-2].index("┬")
    assert picture[-1][zero] == "0"


def test_the_legend_says_symbol_name_and_newest_value() -> None:
    evaluation = SeriesData("evaluation", [50, 100], [0.5, 0.25], "secondary", "points")
    picture = lines(draw(scene(ramp(), evaluation), 60, 20))
    assert picture[0].startswith("━ loss 1.00    ○ evaluation 0.250")
    assert sum(row.count("○") for row in picture[1:]) == 2


def test_lines_that_share_a_chart_differ_without_colour() -> None:
    first = SeriesData("first", [0, 100], [0.0, 1.0])
    second = SeriesData("second", [0, 50, 100], [1.0, 0.5, 0.5], "secondary")
    picture = lines(draw(scene(first, second), 80, 20))
    assert "● first" in picture[0]
    assert "◆ second" in picture[0]
    body = "".join(picture[1:])
    assert "●" in body
    assert "◆" in body


def test_a_gap_is_empty_and_a_nan_is_marked_on_the_axis() -> None:
    x = list(range(100))
    y: list[float | None] = [1.0 + (i % 2) for i in x]
    y[40:60] = [None] * 20
    y[80] = math.nan
    frame = draw(scene(SeriesData("loss", x, y)), 108, 20)
    picture = lines(frame)
    low, high = frame.x_range

    def column(step: float) -> int:
        return frame.plot_left + int((step - low) / (high - low) * frame.plot_width)

    inside = slice(column(40) + 1, column(59))
    assert all(row[inside].strip() == "" for row in picture[1:-2])
    assert picture[-2][column(80)] == "✖"
    assert picture[-2].count("✖") == 1


def test_a_last_value_that_is_nan_is_shown_as_such() -> None:
    assert "loss nan" in lines(draw(scene(SeriesData("loss", [1, 2], [1.0, math.nan])), 60, 12))[0]


def test_a_spike_is_pointed_at_rather_than_followed() -> None:
    spiked = SeriesData("loss", list(range(100)), [50.0] + [1 + i / 100 for i in range(99)])
    robust = lines(draw(scene(spiked), 60, 20))
    assert "↑" in robust[1]
    assert not any("50" in row for row in robust[1:-2])
    full = lines(draw(scene(spiked, view=replace(RAW, robust=False)), 60, 20))
    assert "↑" not in "".join(full)
    assert any(row.split("┤")[0].strip() == "50" for row in full[1:-2])


def test_smoothing_draws_the_raw_values_faintly_beneath() -> None:
    noisy = SeriesData("loss", list(range(200)), [1.0 + (i % 2) for i in range(200)])
    faint = Style(dim=True)
    made = scene(noisy, view=View(weight=0.98))
    frame = draw(replace(made, palette=replace(PALETTE, faint=faint)), 60, 20)
    styles = {segment.style for row in frame.rows[1:-2] for segment in row if segment.text.strip()}
    assert faint in styles
    assert PLAIN in styles


def test_a_learning_rate_is_never_smoothed() -> None:
    rate = SeriesData("rate", list(range(200)), [1.0 + (i % 2) for i in range(200)], smooth=False)
    smoothed, raw = draw(scene(rate, view=View(weight=0.98)), 60, 20), draw(scene(rate), 60, 20)
    assert lines(smoothed)[1:] == lines(raw)[1:]


def test_a_log_axis_has_powers_of_ten_and_leaves_out_what_is_not_positive() -> None:
    data = SeriesData("loss", [0, 1, 2, 3, 4], [1000.0, 100.0, 0.0, 1.0, 0.1])
    view = replace(RAW, log=True, robust=False)
    picture = lines(draw(scene(data, view=view), 60, 24))
    labelled = [row.split("┤")[0].strip() for row in picture if "┤" in row]
    assert labelled == ["1,000", "100", "10", "1", "0.1"]
    nothing = SeriesData("loss", [0, 1], [0.0, -1.0])
    assert "log axis" in "".join(lines(draw(scene(nothing, view=view), 80, 12)))


def test_a_level_is_a_labelled_line_or_an_arrow_to_it() -> None:
    near = lines(draw(scene(ramp(), levels=[Level(0.5, "predicted 0.5")]), 60, 20))
    marked = next(row for row in near if "predicted 0.5" in row)
    assert sum("⠀" <= sign <= "⣿" for sign in marked) > 20
    far = lines(draw(scene(ramp(), levels=[Level(99.0, "limit 99")]), 60, 20))
    assert "↑ limit 99" in far[1]


def test_the_crosshair_reads_out_the_values_of_its_step() -> None:
    evaluation = SeriesData("evaluation", [0, 100], [0.9, 0.7], "secondary", "points")
    view = View(weight=0.6, cursor=50.0)
    picture = lines(draw(scene(ramp(), evaluation, view=view), 100, 20))
    assert picture[0].startswith("step 50  ━ loss 0.500 (0.485)  ○ evaluation 0.900 @0")


@pytest.mark.parametrize(
    ("x", "y"),
    [([5], [2.0]), ([1, 2, 3], [4.0, 4.0, 4.0]), ([0], [0.0]), ([1, 2], [-3.0, -3.0])],
)
def test_one_point_and_constants_are_drawn(x: list[float], y: list[float | None]) -> None:
    picture = lines(draw(scene(SeriesData("loss", x, y)), 40, 14))
    body = "".join(row.split("│")[-1].split("┤")[-1] for row in picture[1:-2])
    assert body.strip()


def test_without_data_it_says_what_it_waits_for() -> None:
    empty = SeriesData("loss", [], [])
    assert "waits for the first step" in lines(draw(scene(empty), 40, 9))[4]
    only_nan = SeriesData("loss", [1, 2], [math.nan, math.inf])
    assert "2 values, none of them finite" in "".join(lines(draw(scene(only_nan), 40, 9)))


def test_ascii_pictures_hold_nothing_else() -> None:
    x = list(range(100))
    y: list[float | None] = [50.0, *(1 + i / 100 for i in range(99))]
    y[50] = math.nan
    data = SeriesData("loss", x, y)
    points = SeriesData("evaluation", [10, 90], [1.0, 2.0], "secondary", "points")
    made = scene(data, points, view=View(cursor=20.0), levels=[Level(1.5, "limit")])
    picture = lines(draw(replace(made, ascii=True), 80, 24))
    assert all(row.isascii() for row in picture)
    assert "* loss" in picture[0]
    assert "!" in picture[-2]


def test_what_there_is_no_room_for_goes_axis_first() -> None:
    assert draw(scene(ramp()), 20, 10).plot_width >= 12
    three = lines(draw(scene(ramp()), 40, 3))
    assert [row.split("┤")[0].strip() for row in three if "┤" in row] == ["1.00", "0"]
    assert len(lines(draw(scene(ramp()), 40, 5))) == 5
    assert draw(scene(ramp()), 40, 1).plot_left == 0


@settings(max_examples=100)
@given(
    values=st.lists(st.one_of(st.none(), st.floats()), max_size=60),
    starts=st.floats(-1e9, 1e9),
    strides=st.floats(0, 1e6),
    width=st.integers(0, 90),
    height=st.integers(0, 30),
    view=st.builds(
        View,
        span=st.one_of(st.none(), st.floats(4, 1e5)),
        right=st.one_of(st.none(), st.floats(-1e9, 1e9)),
        log=st.booleans(),
        weight=st.sampled_from([0.0, 0.6, 0.98]),
        robust=st.booleans(),
        cursor=st.one_of(st.none(), st.floats(-1e9, 1e9)),
    ),
    level=st.floats(),
    ascii=st.booleans(),
    name=st.one_of(st.just("loss"), st.text(max_size=40)),
)
def test_every_picture_has_the_size_that_was_asked_for(
    *,
    values: list[float | None],
    starts: float,
    strides: float,
    width: int,
    height: int,
    view: View,
    level: float,
    ascii: bool,
    name: str,
) -> None:
    x = [starts + i * strides for i in range(len(values))]
    points = SeriesData("evaluation", x[::3], values[::3], "secondary", "points")
    made = scene(SeriesData(name, x, values), points, view=view, levels=[Level(level, name)])
    kinds: tuple[XKind, ...] = ("step", "tokens", "time")
    for kind in kinds:
        picture = lines(draw(replace(made, ascii=ascii, empty=name, x_kind=kind), width, height))
        assert [cell_len(row) for row in picture] == [width] * height
