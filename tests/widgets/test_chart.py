from __future__ import annotations

import math
from typing import Any

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color
from textual.geometry import Region
from textual.pilot import Pilot

from tui_ft.widgets.chart import LineChart, changed_span
from tui_ft.widgets.scene import Level
from tui_ft.widgets.series import SeriesData


class ChartApp(App[None]):
    def __init__(self, chart: LineChart) -> None:
        super().__init__()
        self.chart = chart
        self.requests: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.chart

    def on_line_chart_xaxis_requested(self, event: LineChart.XAxisRequested) -> None:
        self.requests.append(event.kind)


def loss(count: int = 1000) -> SeriesData:
    x = list(range(1, count + 1))
    return SeriesData("loss", x, [0.5 + math.exp(-i / 100) for i in x])


def make_app(**options: Any) -> ChartApp:
    return ChartApp(LineChart("loss", ascii=False, **options))


def picture(app: App[None]) -> list[str]:
    strips = app.screen._compositor.render_strips(app.size)
    return [strip.text for strip in strips]


async def shown(pilot: Pilot[None], *keys: str) -> list[str]:
    await pilot.press(*keys)
    await pilot.pause()
    return picture(pilot.app)


async def test_it_waits_until_there_is_a_step() -> None:
    app = make_app()
    async with app.run_test(size=(60, 16)) as pilot:
        assert any("waits for the first step" in row for row in picture(app))
        app.chart.update_series([loss(1)])
        await pilot.pause()
        assert not any("waits" in row for row in picture(app))
        assert "━ loss 1.49" in picture(app)[1]


async def test_it_is_shown_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app()
    async with app.run_test(size=(60, 16)) as pilot:
        assert any("waits for the first step" in row for row in picture(app))
        app.chart.update_series([loss(), SeriesData("eval_loss", [1, 9], [2.0, 1.5])])
        assert any("loss" in row for row in await shown(pilot))


async def test_plus_and_minus_zoom_and_zero_shows_all() -> None:
    app = make_app()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([loss()])
        whole = await shown(pilot)
        assert whole[-2].split()[1:3] == ["0", "200"]
        half = await shown(pilot, "+")
        assert "zoom" in half[1]
        assert half[-2].split()[1:3] == ["500", "600"]
        await shown(pilot, "+", "-", "-")
        assert app.chart.view.span is None
        assert await shown(pilot, "+", "+", "0") == whole


async def test_arrows_pan_and_the_right_end_follows_again() -> None:
    app = make_app()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([loss()])
        await shown(pilot, "+", "left")
        assert app.chart.view.right == 875
        app.chart.update_series([loss(2000)])
        assert app.chart.view.right == 875
        await shown(pilot, *["right"] * 9)
        assert app.chart.view.right is None


async def test_l_and_m_and_o_change_scale_smoothing_and_outliers() -> None:
    app = make_app()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([loss()])
        assert "smoothed 0.6" in (await shown(pilot))[1]
        assert "log" in (await shown(pilot, "l"))[1]
        assert "smoothed 0.9" in (await shown(pilot, "m"))[1]
        assert "smoothed" not in (await shown(pilot, "m", "m"))[1]
        assert "with outliers" in (await shown(pilot, "o"))[1]


async def test_x_asks_the_parent_for_another_axis() -> None:
    app = make_app(x_kinds=("step", "tokens", "time"))
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([loss()])
        await shown(pilot, "+", "x")
        assert app.requests == ["tokens"]
        app.chart.update_series(
            [SeriesData("loss", [i * 4096 for i in range(1, 1001)], loss().y)], x_kind="tokens"
        )
        await pilot.pause()
        assert picture(app)[-2].rstrip("│ ").endswith("tokens")
        assert app.chart.view.span is None
        await shown(pilot, "x")
        assert app.requests == ["tokens", "time"]


async def test_the_x_key_is_hidden_where_there_is_one_axis_only() -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await shown(pilot, "x")
        assert app.requests == []
        assert "x" not in app.screen.active_bindings


async def test_the_crosshair_reads_measured_steps() -> None:
    app = make_app(smoothing=0)
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([SeriesData("loss", [10, 20, 30], [3.0, 2.0, 1.0])])
        assert "step 30" in (await shown(pilot, "c"))[1]
        row = (await shown(pilot, "left"))[1]
        assert "step 20" in row
        assert "2.00" in row
        assert "step 10" in (await shown(pilot, "left", "left"))[1]
        assert "step" not in (await shown(pilot, "c"))[1]


async def test_a_click_puts_the_crosshair_under_the_mouse() -> None:
    app = make_app()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([loss()])
        await pilot.pause()
        await pilot.click(LineChart, offset=(44, 8))
        cursor = app.chart.view.cursor
        assert cursor is not None
        assert 450 < cursor < 550


async def test_nothing_is_repainted_when_nothing_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 20)) as pilot:
        assert app.chart.update_series([loss()], levels=[Level(1.0, "limit")])
        await pilot.pause()
        refreshed: list[tuple[Region, ...]] = []
        monkeypatch.setattr(app.chart, "refresh", lambda *r, **_: refreshed.append(r))
        assert not app.chart.update_series([loss()], levels=[Level(1.0, "limit")])
        assert refreshed == []


async def test_only_cells_that_changed_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(smoothing=0)
    async with app.run_test(size=(80, 20)) as pilot:
        x = [*range(0, 900), 1000]
        y = [1 + (i % 2) for i in x]
        app.chart.update_series([SeriesData("loss", x[:850], y[:850])], x_end=900)
        await pilot.pause()
        refreshed: list[Region] = []
        real = app.chart.refresh

        def refresh(*regions: Region, **options: Any) -> LineChart:
            refreshed.extend(regions)
            return real(*regions, **options)

        monkeypatch.setattr(app.chart, "refresh", refresh)
        app.chart.update_series([SeriesData("loss", x[:900], y[:900])], x_end=900)
        await pilot.pause()
        cells = sum(region.area for region in refreshed)
        assert 0 < cells < 0.15 * app.chart.content_size.area
        partial = picture(app)
        app.chart.notify_style_update()
        real()
        await pilot.pause()
        assert picture(app) == partial


async def test_the_picture_follows_the_size_of_the_terminal() -> None:
    app = make_app()
    async with app.run_test(size=(80, 20)) as pilot:
        app.chart.update_series([loss()])
        await pilot.pause()
        for size in ((20, 8), (200, 60), (24, 5), (80, 20)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            rows = picture(app)
            assert len(rows) == size[1]
            assert all(len(row) == size[0] for row in rows)
        assert "loss" in picture(app)[0]


async def test_a_low_chart_has_its_newest_value_in_the_title() -> None:
    app = make_app(smoothing=0)
    async with app.run_test(size=(60, 5)) as pilot:
        app.chart.update_series([SeriesData("rate", [1, 2], [1e-4, 2e-4])])
        await pilot.pause()
        assert "loss  2.00e-4" in picture(app)[0]


async def test_markup_in_a_title_or_name_is_shown_as_it_is() -> None:
    app = ChartApp(LineChart("[red]\x1b[31mrun[/red]", ascii=False))
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.update_series([SeriesData("[bold]a\x1b[2J", [1, 2], [1.0, 2.0])])
        await pilot.pause()
        assert "[red]run[/red]" in picture(app)[0]
        assert "━ [bold]a 2.00" in picture(app)[1]


async def test_colours_come_from_the_theme_and_can_be_read_on_it() -> None:
    app = make_app()
    async with app.run_test(size=(60, 16)) as pilot:
        app.chart.update_series([loss()])
        seen: dict[str, set[str]] = {}
        for theme in ("textual-dark", "textual-light", "solarized-light", "dracula"):
            app.theme = theme
            await pilot.pause()
            background = app.chart.background_colors[1]
            seen[theme] = set()
            for segment in (s for y in range(13) for s in app.chart.render_line(y)):
                if segment.style is None or segment.style.color is None:
                    continue
                colour = Color.from_rich_color(segment.style.color)
                seen[theme].add(colour.hex)
                assert abs(colour.brightness - background.brightness) > 0.2
        assert len({frozenset(colours) for colours in seen.values()}) == len(seen)


async def test_raw_values_are_dim_and_smoothed_ones_are_not() -> None:
    app = make_app(smoothing=0.98)
    async with app.run_test(size=(60, 16)) as pilot:
        x = list(range(300))
        app.chart.update_series([SeriesData("loss", x, [1.0 + i % 2 for i in x])])
        await pilot.pause()
        dots = [
            segment.style
            for y in range(1, 10)
            for segment in app.chart.render_line(y)
            if segment.style and any("⠀" < sign <= "⣿" for sign in segment.text)
        ]
        assert {bool(style.dim) for style in dots} == {True, False}
        assert len({style.color for style in dots}) == 1


def test_every_binding_can_be_remapped_and_explained() -> None:
    ids = [binding.id for binding in LineChart.BINDINGS if not isinstance(binding, tuple)]
    assert len(ids) == len(set(ids)) == len(LineChart.BINDINGS)
    assert all(not isinstance(b, tuple) and b.id and b.tooltip for b in LineChart.BINDINGS)


def test_the_changed_span_of_a_row_is_the_smallest() -> None:
    red, plain = Style(color="red"), Style.null()
    old = [Segment("abc", plain), Segment("def", red)]
    assert changed_span(old, [Segment("abc", plain), Segment("def", red)]) is None
    assert changed_span(old, [Segment("aXc", plain), Segment("def", red)]) == (1, 2)
    assert changed_span(old, [Segment("ab", plain), Segment("cdef", red)]) == (2, 3)
    wide = [Segment("日a", plain)]
    assert changed_span(wide, [Segment("日b", plain)]) == (2, 3)
    assert changed_span(wide, [Segment("本a", plain)]) == (0, 1)
