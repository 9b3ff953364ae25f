"""Draws a chart into rows of cells: pure, from series and a view to segments.

Layout, from the top: legend (or the values under the crosshair), the plot with its y axis on the
left, the x axis with its labels. What there is no room for goes first: legend, axis line, labels.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui_ft import text
from tui_ft.widgets.braille import Canvas, Layer
from tui_ft.widgets.legend import legend_row
from tui_ft.widgets.scene import Curve, Scene, data_bounds
from tui_ft.widgets.series import LARGEST, Point, Polyline, decimate
from tui_ft.widgets.ticks import (
    linear_ticks,
    log_ticks,
    short_label,
    tick_labels,
    x_labels,
    x_ticks,
)
from tui_ft.widgets.view import Range, value_range, window, with_level

_LINE_MARKS: Final = "●◆■▲▼★"
_POINT_MARKS: Final = "○◇□△▽☆"
_ASCII_LINE_MARKS: Final = "*+x#%@"
_ASCII_POINT_MARKS: Final = "odqavs"
_ONLY_LINE: Final = "━"
_FAINT_GLYPH: Final = "."
_FAULT: Final = ("✖", "!")
_ABOVE: Final = ("↑", "^")
_BELOW: Final = ("↓", "v")
_NOTHING_TO_DRAW: Final = "no value above 0 here: a log axis cannot show any"
_FEWEST_TICKS: Final = 3
_LABEL_WIDTH: Final = 7
_NARROWEST_PLOT: Final = 12
_MARK_EVERY: Final = 24


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawn chart: one list of segments for each row, and where the plot lies in it."""

    rows: list[list[Segment]]
    plot_left: int
    plot_width: int
    x_range: Range


@dataclass(frozen=True, slots=True)
class _Trace:
    """The lines of a curve that are to be drawn, and how."""

    curve: Curve
    lines: list[Polyline]
    mark: str
    glyph: str
    faint: bool


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps data to the dots of a canvas; ``y_range`` is in logarithms on a log axis."""

    x_range: Range
    y_range: Range
    log: bool

    def column(self, x: float, dots: int) -> int:
        low, high = self.x_range
        place = math.floor((x - low) / (high - low) * dots)
        return dots - 1 if x == high else place

    def row(self, y: float, dots: int) -> int:
        low, high = self.y_range
        value = math.log10(y) if self.log else y
        return round((high - value) / (high - low) * (dots - 1))


def draw(scene: Scene, width: int, height: int) -> Frame:
    """Return the picture of ``scene`` in ``width`` x ``height`` cells."""
    bounds = data_bounds(scene.curves, scene.x_end)
    if width <= 0 or height <= 0 or bounds is None:
        return _empty_frame(scene, width, height)
    x_range = window(scene.view, *bounds)
    legend, axis = int(height >= 5), 2 if height >= 8 else int(height >= 4)  # noqa: PLR2004
    plot_height = height - legend - axis
    dots = max(1, width - _LABEL_WIDTH - 2) * (1 if scene.ascii else 2)
    traces = _traces(scene, x_range, dots)
    y_range = _y_range(scene, traces, x_range)
    ticks, labels = _y_labels(y_range, scene.view.log, plot_height)
    gutter = _gutter(labels, width)
    canvas = Canvas(width - gutter, plot_height, ascii=scene.ascii)
    scale = _Scale(x_range, y_range, scene.view.log)
    _draw_cursor(canvas, scene, scale)
    _draw_levels(canvas, scene, scale)
    _draw_traces(canvas, scene, traces, scale)
    if not any(t.lines for t in traces):
        canvas.put(1, plot_height // 2, _NOTHING_TO_DRAW, scene.palette.axis)
    shown = [(t.curve, t.mark) for t in traces if not t.faint]
    rows = [legend_row(scene, shown, width)] if legend else []
    rows += _with_y_axis(canvas, ticks, labels, gutter, scene, scale)
    rows += _x_axis(scene, scale, canvas, gutter)[2 - axis :]
    return Frame(rows, gutter, canvas.width, x_range)


def _traces(scene: Scene, x_range: Range, dots: int) -> list[_Trace]:
    """Return the faint traces first: what is drawn later lies on top."""
    faint: list[_Trace] = []
    strong: list[_Trace] = []
    for curve, mark in zip(scene.curves, _marks(scene), strict=True):
        if not curve.store.xs:
            continue
        store, log = curve.store, scene.view.log
        smooth = curve.data.smooth and curve.data.markers == "line" and scene.view.weight > 0
        raw = _drawable(decimate(store, store.ys, *x_range, dots), log)
        if smooth:
            values = store.smoothed(scene.view.weight)
            lines = _drawable(decimate(store, values, *x_range, dots), log)
            faint.append(_Trace(curve, raw, mark, _FAINT_GLYPH, True))
            strong.append(_Trace(curve, lines, mark, mark, False))
        else:
            strong.append(_Trace(curve, raw, mark, mark, False))
    return faint + strong


def _marks(scene: Scene) -> list[str]:
    """Return a mark for every curve, also those without a point yet: marks do not change hands."""
    if scene.ascii:
        lines, points = _ASCII_LINE_MARKS, _ASCII_POINT_MARKS
    else:
        several = sum(c.data.markers == "line" for c in scene.curves) > 1
        lines, points = _LINE_MARKS if several else _ONLY_LINE, _POINT_MARKS
    used = {"line": 0, "points": 0}
    marks = []
    for curve in scene.curves:
        signs = lines if curve.data.markers == "line" else points
        marks.append(signs[used[curve.data.markers] % len(signs)])
        used[curve.data.markers] += 1
    return marks


def _drawable(lines: list[Polyline], log: bool) -> list[Polyline]:
    """Return ``lines`` as they are, on a log axis broken where a value is not positive."""
    if not log:
        return lines
    kept: list[Polyline] = []
    for line in lines:
        part: Polyline = []
        for point in line:
            if _has_place(point[1], log):
                part.append(point)
            elif part:
                kept.append(part)
                part = []
        if part:
            kept.append(part)
    return kept


def _has_place(value: float, log: bool) -> bool:
    return abs(value) <= LARGEST and (not log or value > 1 / LARGEST)


def _y_range(scene: Scene, traces: Sequence[_Trace], x_range: Range) -> Range:
    values = [y for t in traces for line in t.lines for y in _seen(line, x_range)]
    levels = [v for v in (level.value for level in scene.levels) if _has_place(v, scene.view.log)]
    if scene.view.log:
        values = [math.log10(v) for v in values]
        levels = [math.log10(v) for v in levels]
    found = value_range(values, robust=scene.view.robust)
    for level in levels:
        found = with_level(found, level)
    return found


def _seen(line: Polyline, x_range: Range) -> Iterator[float]:
    """Yield the values of ``line`` within the range, and those at which it crosses the edges."""
    yield from (y for x, y in line if x_range[0] <= x <= x_range[1])
    for (x0, y0), (x1, y1) in (*pairwise(line[:2]), *pairwise(line[-2:])):
        for edge in x_range:
            if x0 < edge < x1:
                yield y0 + (y1 - y0) * (edge - x0) / (x1 - x0)


def _y_labels(y_range: Range, log: bool, height: int) -> tuple[list[float], list[str]]:
    low, high = y_range
    if height < 2:  # noqa: PLR2004 - one row has room for no scale
        return [], []
    if height < 5:  # noqa: PLR2004 - too low for round ticks: the range itself
        ends = [10**low, 10**high] if log else [low, high]
        return ends, [short_label(end) for end in ends]
    ticks: list[float] = []
    for count in range(min(10, max(2, height * 9 // 20)), height):
        ticks = log_ticks(10**low, 10**high, count) if log else linear_ticks(low, high, count)
        if len(ticks) >= _FEWEST_TICKS:
            break
    return ticks, tick_labels(ticks)


def _gutter(labels: Sequence[str], width: int) -> int:
    if not labels:
        return 0
    gutter = max(_LABEL_WIDTH, *map(len, labels)) + 2
    if width - gutter < _NARROWEST_PLOT:
        gutter = max(map(len, labels)) + 1
    return gutter if width - gutter >= _NARROWEST_PLOT else 0


def _draw_cursor(canvas: Canvas, scene: Scene, scale: _Scale) -> None:
    cursor = scene.view.cursor
    if cursor is None or not scale.x_range[0] <= cursor <= scale.x_range[1]:
        return
    layer = canvas.layer(scene.palette.axis, "|")
    column = scale.column(cursor, canvas.dots_wide)
    for row in range(0, canvas.dots_high, 1 if scene.ascii else 2):
        layer.dot(column, row)


def _draw_levels(canvas: Canvas, scene: Scene, scale: _Scale) -> None:
    for level in scene.levels:
        if not _has_place(level.value, scene.view.log):
            continue
        style = scene.palette.tones[level.style]
        row = scale.row(level.value, canvas.dots_high)
        label = f" {text.one_line(level.label, max(1, canvas.width - 4))} "
        if 0 <= row < canvas.dots_high:
            layer = canvas.layer(style, "-")
            for column in range(0, canvas.dots_wide, 1 if scene.ascii else 3):
                layer.dot(column, row)
            cell = row // canvas.dots_down
        else:
            cell = 0 if row < 0 else canvas.height - 1
            label = f" {(_ABOVE if row < 0 else _BELOW)[scene.ascii]}{label}"
        canvas.put(1, cell, label, style)


def _draw_traces(canvas: Canvas, scene: Scene, traces: Sequence[_Trace], scale: _Scale) -> None:
    lines = [t for t in traces if t.curve.data.markers == "line"]
    several = sum(c.data.markers == "line" for c in scene.curves) > 1
    for trace in lines:
        style = scene.palette.tones[trace.curve.data.style]
        layer = canvas.layer(style + scene.palette.faint if trace.faint else style, trace.glyph)
        _draw_lines(canvas, layer, trace.lines, scale)
    for number, trace in enumerate(t for t in lines if not t.faint):
        if several and not scene.ascii:
            _draw_marks(canvas, scene, trace, scale, number)
    for trace in traces:
        style = scene.palette.tones[trace.curve.data.style]
        if trace.curve.data.markers == "points":
            for x, y in (p for line in trace.lines for p in line):
                _put_mark(canvas, scale, (x, y), trace.mark, style)
        _draw_outliers(canvas, scene, trace, scale, style)


def _draw_lines(canvas: Canvas, layer: Layer, lines: list[Polyline], scale: _Scale) -> None:
    wide, high = canvas.dots_wide, canvas.dots_high
    for line in lines:
        layer.polyline((scale.column(x, wide), scale.row(y, high)) for x, y in line)


def _draw_marks(canvas: Canvas, scene: Scene, trace: _Trace, scale: _Scale, number: int) -> None:
    """Put the mark of the legend on a line now and then, so that it can be told by its shape."""
    style = scene.palette.tones[trace.curve.data.style]
    points = [p for line in trace.lines for p in line]
    wanted = 4 + 5 * number
    for point in points:
        if scale.column(point[0], canvas.width) >= wanted:
            _put_mark(canvas, scale, point, trace.mark, style)
            wanted += _MARK_EVERY
    if points:
        _put_mark(canvas, scale, points[-1], trace.mark, style)


def _put_mark(canvas: Canvas, scale: _Scale, point: Point, mark: str, style: Style) -> None:
    row = scale.row(point[1], canvas.dots_high)
    if 0 <= row < canvas.dots_high:
        canvas.put(scale.column(point[0], canvas.width), row // canvas.dots_down, mark, style)


def _draw_outliers(
    canvas: Canvas, scene: Scene, trace: _Trace, scale: _Scale, style: Style
) -> None:
    """Point to what lies outside the y range: nothing disappears silently."""
    for x, y in (p for line in trace.lines for p in line):
        row = scale.row(y, canvas.dots_high)
        if row < 0:
            canvas.put(scale.column(x, canvas.width), 0, _ABOVE[scene.ascii], style)
        elif row >= canvas.dots_high:
            bottom = canvas.height - 1
            canvas.put(scale.column(x, canvas.width), bottom, _BELOW[scene.ascii], style)


def _with_y_axis(
    canvas: Canvas,
    ticks: Sequence[float],
    labels: Sequence[str],
    gutter: int,
    scene: Scene,
    scale: _Scale,
) -> list[list[Segment]]:
    rows = canvas.rows()
    if not gutter:
        return rows
    tick, line = ("+", "|") if scene.ascii else ("┤", "│")
    at_row: dict[int, str] = {}
    for value, label in zip(ticks, labels, strict=True):
        row = min(canvas.dots_high - 1, max(0, scale.row(value, canvas.dots_high)))
        at_row[row // canvas.dots_down] = label
    room = gutter - 1
    spaced = room - 1 if room > max(map(len, labels)) else room
    axis = scene.palette.axis
    return [
        [
            Segment(f"{at_row[y].rjust(spaced)}".ljust(room) + tick, axis)
            if y in at_row
            else Segment(" " * room + line, axis),
            *row,
        ]
        for y, row in enumerate(rows)
    ]


def _x_axis(scene: Scene, scale: _Scale, canvas: Canvas, gutter: int) -> list[list[Segment]]:
    """Return the axis line with ticks (and faults), and the row of its labels."""
    width = canvas.width
    ticks = x_ticks(*scale.x_range, max(1, width // 8), scene.x_kind)
    labels = x_labels(ticks, scene.x_kind)
    line = Canvas(gutter + width, 1)
    rule, corner, tee = ("-", "+", "+") if scene.ascii else ("─", "└", "┬")
    axis = scene.palette.axis
    line.put(gutter, 0, rule * width, axis)
    if gutter:
        line.put(gutter - 1, 0, corner, axis)
    names = [" "] * (gutter + width)
    end = gutter + width - len(scene.x_kind) - 1
    free = 0
    for value, label in zip(ticks, labels, strict=True):
        column = gutter + scale.column(value, width)
        line.put(column, 0, tee, axis)
        start = max(0, column - len(label) // 2)
        if start >= free and start + len(label) < end:
            names[start : start + len(label)] = label
            free = start + len(label) + 1
    names[max(0, end + 1) :] = scene.x_kind[-(gutter + width) :]
    for column in _fault_columns(scene, scale.x_range, width):
        line.put(gutter + column, 0, _FAULT[scene.ascii], scene.palette.fault)
    return [*line.rows(), [Segment("".join(names), axis)]]


def _fault_columns(scene: Scene, x_range: Range, width: int) -> list[int]:
    """Return the columns in which some series has a value that is NaN or infinite."""
    low, high = x_range
    edges = [low + (high - low) * column / width for column in range(width)]
    found: set[int] = set()
    for faults in (curve.store.faults for curve in scene.curves):
        starts = [bisect_left(faults, edge) for edge in edges] + [bisect_right(faults, high)]
        found.update(column for column in range(width) if starts[column + 1] > starts[column])
    return sorted(found)


def _empty_frame(scene: Scene, width: int, height: int) -> Frame:
    faults = sum(len(c.store.faults) for c in scene.curves)
    message = f"{faults} values, none of them finite" if faults else scene.empty
    shown = text.one_line(message, max(1, width))
    width = max(0, width)
    rows = [[Segment(" " * width)] for _ in range(max(0, height))]
    if rows:
        line = [Segment(" " * ((width - cell_len(shown)) // 2) + shown, scene.palette.axis)]
        rows[height // 2] = Segment.adjust_line_length(line, width)
    return Frame(rows, 0, width, (0.0, 1.0))
