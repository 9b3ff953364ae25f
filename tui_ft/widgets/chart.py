"""`LineChart`: loss curves and their like, live, in a terminal.

The caller hands over whole append-only series as often as it likes; the chart takes what is new,
draws the picture and repaints only the cells that changed. How often is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Final, get_args

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_ft import text
from tui_ft.widgets.legend import newest_value
from tui_ft.widgets.plot import Frame, draw
from tui_ft.widgets.scene import Curve, Level, Palette, Scene, data_bounds
from tui_ft.widgets.series import SeriesData, SeriesStore, Tone
from tui_ft.widgets.signs import use_ascii
from tui_ft.widgets.ticks import XKind
from tui_ft.widgets.view import View, next_weight, pan, zoom

__all__ = ["Level", "LineChart", "SeriesData", "View", "XKind"]

_TONES: Final[tuple[Tone, ...]] = get_args(Tone)
_PAN_SHARE: Final = 0.25
_LOWEST_WITH_LEGEND: Final = 5
_PLAIN: Final = Style.null()


class LineChart(Widget, can_focus=True):
    """Named series over steps, tokens or time, with smoothing, zoom, log axis and a crosshair.

    Args:
        title: stands in the border.
        x_kinds: what the caller can plot over; the `x` key asks for the next one with
            `XAxisRequested`, and the caller answers with `update_series`.
        log: begin with a logarithmic y axis.
        smoothing: smoothing weight to begin with, 0 for none.
        robust: cut single spikes off rather than let them flatten everything.
        empty: what stands there before there is a point.
        ascii: draw with ASCII only; None looks at the environment.
    """

    DEFAULT_CSS = """
    LineChart {
        height: 1fr;
        min-height: 3;
        border: round $foreground 30%;
        border-title-color: $foreground;
        &:focus { border: round $accent; border-title-style: bold; }
        & > .line-chart--axis { color: $text-muted; }
        & > .line-chart--primary { color: $text-primary; }
        & > .line-chart--secondary { color: $text-secondary; }
        & > .line-chart--accent { color: $text-accent; }
        & > .line-chart--success { color: $text-success; }
        & > .line-chart--warning { color: $text-warning; }
        & > .line-chart--error { color: $text-error; }
        & > .line-chart--foreground { color: $foreground; }
        & > .line-chart--fault { color: $text-error; text-style: bold; }
        & > .line-chart--faint { text-style: dim; }
    }
    """
    BINDING_GROUP_TITLE = "Chart"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-chart--axis",
        "line-chart--fault",
        "line-chart--faint",
        *(f"line-chart--{tone}" for tone in _TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "plus,equals_sign",
            "zoom(0.5)",
            "Zoom in",
            show=False,
            id="chart.zoom-in",
            key_display="+",
            tooltip="Show half as many steps; the newest stay in sight",
        ),
        Binding(
            "minus,underscore",
            "zoom(2.0)",
            "Zoom out",
            show=False,
            id="chart.zoom-out",
            key_display="-",
            tooltip="Show twice as many steps",
        ),
        Binding(
            "left",
            "move(-1)",
            "Earlier",
            show=False,
            id="chart.left",
            tooltip="Move the window, or the crosshair, to earlier steps",
        ),
        Binding(
            "right",
            "move(1)",
            "Later",
            show=False,
            id="chart.right",
            tooltip="Move the window, or the crosshair, to later steps",
        ),
        Binding(
            "l", "log", "Log", show=False, id="chart.log", tooltip="Logarithmic or linear y axis"
        ),
        Binding(
            "m",
            "smoothing",
            "Smoothing",
            show=False,
            id="chart.smoothing",
            tooltip="Next smoothing weight: none, 0.6, 0.9, 0.98",
        ),
        Binding(
            "x",
            "x_axis",
            "X axis",
            show=False,
            id="chart.x-axis",
            tooltip="Plot over steps, tokens or time",
        ),
        Binding(
            "c",
            "crosshair",
            "Crosshair",
            show=False,
            id="chart.crosshair",
            tooltip="Read values at one step; the arrow keys move it",
        ),
        Binding(
            "o",
            "outliers",
            "Outliers",
            show=False,
            id="chart.outliers",
            tooltip="Let single spikes set the y range, or cut them off",
        ),
        Binding(
            "0,home",
            "reset",
            "All",
            show=False,
            id="chart.reset",
            tooltip="Show everything and follow the newest step again",
        ),
    ]

    class XAxisRequested(Message):
        """Someone asked to plot over ``kind``; the parent answers with `update_series`."""

        def __init__(self, chart: LineChart, kind: XKind) -> None:
            super().__init__()
            self.chart = chart
            self.kind = kind

        @property
        def control(self) -> LineChart:
            """The chart, so that handlers can select on it."""
            return self.chart

    def __init__(
        self,
        title: str = "",
        *,
        x_kinds: Sequence[XKind] = ("step",),
        log: bool = False,
        smoothing: float = 0.6,
        robust: bool = True,
        empty: str = "waits for the first step",
        ascii: bool | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title = title
        self._x_kinds = tuple(x_kinds)
        self._x_kind: XKind = self._x_kinds[0]
        self._x_end: float | None = None
        self._view = View(log=log, weight=smoothing, robust=robust)
        self._empty = empty
        self._ascii = use_ascii(ascii)
        self._curves: list[Curve] = []
        self._levels: tuple[Level, ...] = ()
        self._frame: Frame | None = None
        self._strips: list[Strip] = []
        self._palette: Palette | None = None
        self._shown_title = ""

    @property
    def view(self) -> View:
        """What part of the data is shown, and how. Setting it redraws."""
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        if view != self._view:
            self._view = view
            self._redraw()

    @property
    def title(self) -> str:
        """What the border calls the chart."""
        return self._title

    @title.setter
    def title(self, title: str) -> None:
        self._title = title
        self._update_title()

    @property
    def empty(self) -> str:
        """What stands where there is no point."""
        return self._empty

    @empty.setter
    def empty(self, words: str) -> None:
        if words != self._empty:
            self._empty = words
            self._redraw()

    @property
    def x_kind(self) -> XKind:
        """What the x axis counts now."""
        return self._x_kind

    def update_series(
        self,
        series: Sequence[SeriesData],
        *,
        levels: Sequence[Level] = (),
        x_kind: XKind | None = None,
        x_end: float | None = None,
    ) -> bool:
        """Show ``series``; return whether anything changed. Costs little when nothing did.

        Args:
            series: all series with all their points, in the order of the legend.
            levels: horizontal lines.
            x_kind: what their x counts; another one than before resets the window.
            x_end: the last x planned (the run's last step): the axis does not run past it.
        """
        stores = {c.data.name: c.store for c in self._curves}
        curves = [Curve(data, stores.get(data.name) or SeriesStore()) for data in series]
        grown = [curve.store.extend(curve.data.x, curve.data.y) for curve in curves]
        outfit = [_outfit(c.data) for c in curves] != [_outfit(c.data) for c in self._curves]
        kind = x_kind or self._x_kind
        around = (tuple(levels), kind, x_end) != (self._levels, self._x_kind, self._x_end)
        if not (any(grown) or outfit or around):
            return False
        if kind != self._x_kind:
            self._view = replace(self._view, span=None, right=None, cursor=None)
        self._curves, self._levels, self._x_kind, self._x_end = curves, tuple(levels), kind, x_end
        self._redraw()
        return True

    def action_zoom(self, factor: float) -> None:
        """Make the window ``factor`` times as wide."""
        self._move_window(zoom, factor)

    def action_move(self, direction: int) -> None:
        """Move the crosshair by one cell if it is on, otherwise the window by a quarter."""
        frame = self._frame
        if self._view.cursor is None or frame is None:
            self._move_window(pan, direction * _PAN_SHARE)
            return
        low, high = frame.x_range
        step = (high - low) / max(1, frame.plot_width)
        self._put_cursor(self._view.cursor + direction * step, direction)

    def action_log(self) -> None:
        """Switch between linear and logarithmic y axis."""
        self.view = replace(self._view, log=not self._view.log)

    def action_smoothing(self) -> None:
        """Go to the next smoothing weight."""
        self.view = replace(self._view, weight=next_weight(self._view.weight))

    def action_outliers(self) -> None:
        """Let spikes set the y range, or cut them off."""
        self.view = replace(self._view, robust=not self._view.robust)

    def action_reset(self) -> None:
        """Show everything and follow the newest point again."""
        self.view = replace(self._view, span=None, right=None)

    def action_x_axis(self) -> None:
        """Ask the parent for the next kind of x axis."""
        now = self._x_kinds.index(self._x_kind) if self._x_kind in self._x_kinds else -1
        self.post_message(self.XAxisRequested(self, self._x_kinds[(now + 1) % len(self._x_kinds)]))

    def action_crosshair(self) -> None:
        """Switch the crosshair on, at the newest point in sight, or off."""
        bounds = data_bounds(self._curves, self._x_end)
        if self._view.cursor is not None or bounds is None or self._frame is None:
            self.view = replace(self._view, cursor=None)
            return
        self._put_cursor(min(bounds[1], self._frame.x_range[1]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the x-axis key where there is nothing to choose from."""
        return len(self._x_kinds) > 1 if action == "x_axis" else True

    def on_click(self, event: Click) -> None:
        """Read out the values under the mouse."""
        offset = event.get_content_offset(self)
        frame = self._frame
        if offset is None or frame is None or data_bounds(self._curves, None) is None:
            return
        column = offset.x - frame.plot_left
        if 0 <= column < frame.plot_width:
            low, high = frame.x_range
            self._put_cursor(low + (high - low) * (column + 0.5) / frame.plot_width)

    def notify_style_update(self) -> None:
        """Forget the colours: the theme or the style sheet changed."""
        super().notify_style_update()
        self._palette = self._frame = None

    def render_line(self, y: int) -> Strip:
        """Return row ``y`` of the picture, drawn anew if the size or the colours changed."""
        width, height = self.content_size
        if (
            self._frame is None
            or len(self._strips) != height
            or self._strips[0].cell_length != width
        ):
            self._draw(width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, _PLAIN)

    def on_resize(self) -> None:
        """Move the newest value between legend and title as there is room."""
        self._update_title()

    def _move_window(
        self,
        move: Callable[[View, float, tuple[float, float], float], View],
        amount: float,
    ) -> None:
        bounds = data_bounds(self._curves, self._x_end)
        if bounds is not None:
            self.view = move(self._view, amount, *bounds)

    def _put_cursor(self, x: float, direction: int = 0) -> None:
        """Put the crosshair on the measured x nearest to ``x``; one on if it would not move."""
        store = max((c.store for c in self._curves), key=lambda s: len(s.xs))
        index = store.nearest(x)
        if index is None:
            return
        if direction and store.xs[index] == self._view.cursor:
            index = min(len(store.xs) - 1, max(0, index + direction))
        self.view = replace(self._view, cursor=store.xs[index])

    def _redraw(self) -> None:
        """Repaint what changed: all of it if the picture is not on the screen yet."""
        width, height = self.content_size
        before = self._strips
        self._update_title()
        if self._frame is None or not self.is_on_screen or len(before) != height:
            self._frame = None
            self.refresh()
            return
        self._draw(width, height)
        regions = []
        for y, (old, new) in enumerate(zip(before, self._strips, strict=True)):
            span = changed_span(list(old), list(new))
            if span is not None:
                regions.append(Region(span[0], y, span[1] - span[0], 1))
        if regions:
            self.refresh(*regions)

    def _draw(self, width: int, height: int) -> None:
        scene = Scene(
            curves=self._curves,
            view=self._view,
            palette=self._current_palette(),
            levels=self._levels,
            x_kind=self._x_kind,
            x_end=self._x_end,
            ascii=self._ascii,
            empty=self._empty,
        )
        self._frame = draw(scene, width, height)
        self._strips = [Strip(map(_with_style, row), width) for row in self._frame.rows]

    def _current_palette(self) -> Palette:
        if self._palette is None:

            def style(name: str) -> Style:
                found = self.get_component_rich_style(f"line-chart--{name}")
                # Without the background: cells take that of the chart, focused or not.
                return found.without_color + Style(color=found.color)

            tones = {tone: style(tone) for tone in _TONES}
            self._palette = Palette(
                tones, style("axis"), style("fault"), style("faint").without_color
            )
        return self._palette

    def _update_title(self) -> None:
        """Put the newest value into the title where the picture is too low for a legend."""
        title = text.one_line(self._title, 60)
        low = 0 < self.content_size.height < _LOWEST_WITH_LEGEND
        if low and self._curves and self._curves[0].store.xs:
            title = f"{title}  {newest_value(self._curves[0].store)}"
        if title != self._shown_title:
            self._shown_title = title
            self.border_title = title.replace("[", r"\[")


def _with_style(segment: Segment) -> Segment:
    """Give it a style if it has none: where NO_COLOR is set, Textual wants one."""
    return segment if segment.style is not None else Segment(segment.text, _PLAIN)


def changed_span(old: Sequence[Segment], new: Sequence[Segment]) -> tuple[int, int] | None:
    """Return the first changed cell of a row and the one after the last, None if none changed.

    Both rows are equally wide.
    """
    before, after = _cells(old), _cells(new)
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    return (changed[0], changed[-1] + 1) if changed else None


def _cells(row: Sequence[Segment]) -> list[tuple[str, Style | None]]:
    """Return sign and style of each cell; the second cell of a wide sign has an empty one."""
    cells: list[tuple[str, Style | None]] = []
    for segment in row:
        if segment.cell_length == len(segment.text):
            cells += [(sign, segment.style) for sign in segment.text]
            continue
        for sign in segment.text:
            if (wide := cell_len(sign)) == 0 and cells:
                cells[-1] = (cells[-1][0] + sign, segment.style)
            else:
                cells += [(sign, segment.style), ("", segment.style)][:wide]
    return cells


def _outfit(data: SeriesData) -> tuple[object, ...]:
    return data.name, data.style, data.markers, data.smooth
