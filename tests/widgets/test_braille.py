from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.style import Style

from tui_ft.widgets.braille import Canvas

PLAIN = Style.null()
BOLD = Style(bold=True)


def drawn(canvas: Canvas) -> list[str]:
    return ["".join(segment.text for segment in row) for row in canvas.rows()]


def dots(canvas: Canvas) -> set[tuple[int, int]]:
    bits = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
    return {
        (2 * column + x, 4 * row + y)
        for row, line in enumerate(drawn(canvas))
        for column, sign in enumerate(line)
        if sign != " "
        for x in (0, 1)
        for y in range(4)
        if (ord(sign) - 0x2800) & bits[x][y]
    }


def test_dots_are_counted_from_the_top_left() -> None:
    canvas = Canvas(2, 2)
    layer = canvas.layer(PLAIN)
    layer.dot(0, 0)
    layer.dot(3, 7)
    assert drawn(canvas) == ["⠁ ", " ⢀"]


def test_a_column_runs_through_whole_cells() -> None:
    canvas = Canvas(1, 3)
    canvas.layer(PLAIN).vertical(0, 9, 2)
    assert drawn(canvas) == ["⡄", "⡇", "⠃"]


def test_a_diagonal_has_one_dot_a_column() -> None:
    canvas = Canvas(4, 2)
    canvas.layer(PLAIN).line(0, 7, 7, 0)
    assert dots(canvas) == {(i, 7 - i) for i in range(8)}


def test_what_lies_outside_is_cut_off_without_bending_the_line() -> None:
    wide = Canvas(30, 30)
    wide.layer(PLAIN).line(10, 0, 50, 110)
    cut = Canvas(15, 10)
    cut.layer(PLAIN).line(10, 0, 50, 110)
    assert dots(cut) == {(x, y) for x, y in dots(wide) if x < 30 and y < 40}


@settings(max_examples=100)
@given(*[st.integers(0, 39)] * 4)
def test_a_line_is_connected_ends_where_it_should_and_stays_near(
    x0: int, y0: int, x1: int, y1: int
) -> None:
    canvas = Canvas(20, 10)
    canvas.layer(PLAIN).line(x0, y0, x1, y1)
    found = dots(canvas)
    assert {(x0, y0), (x1, y1)} <= found
    assert len(found) == max(abs(x1 - x0), abs(y1 - y0)) + 1
    steep = abs(y1 - y0) > abs(x1 - x0)
    ordered = sorted(found, key=lambda d: d[1] if steep else d[0])
    assert all(abs(a[0] - b[0]) <= 1 and abs(a[1] - b[1]) <= 1 for a, b in pairwise(ordered))


def test_the_topmost_layer_with_a_dot_owns_the_cell() -> None:
    canvas = Canvas(2, 1)
    below, above = canvas.layer(PLAIN), canvas.layer(BOLD)
    below.line(0, 0, 3, 0)
    above.dot(2, 3)
    first, second = canvas.rows()[0]
    assert (first.text, first.style) == ("⠉", PLAIN)
    assert (second.text, second.style) == ("⡀", BOLD)


def test_text_lies_over_dots_and_is_cut_at_the_edge() -> None:
    canvas = Canvas(4, 2)
    canvas.layer(PLAIN).line(0, 0, 7, 0)
    canvas.put(2, 0, "abc", BOLD)
    canvas.put(-1, 1, "xyz", BOLD)
    canvas.put(0, 2, "below", BOLD)
    assert drawn(canvas) == ["⠉⠉ab", "yz  "]


def test_the_ascii_canvas_uses_the_glyph_of_the_layer() -> None:
    canvas = Canvas(4, 3, ascii=True)
    canvas.layer(PLAIN, ".").line(0, 0, 3, 0)
    canvas.layer(PLAIN, "*").polyline([(0, 2), (2, 0)])
    assert (canvas.dots_wide, canvas.dots_high) == (4, 3)
    assert drawn(canvas) == ["..*.", " *  ", "*   "]


def test_a_single_point_is_a_dot() -> None:
    canvas = Canvas(1, 1)
    canvas.layer(PLAIN).polyline([(1, 1)])
    assert drawn(canvas) == ["⠐"]
