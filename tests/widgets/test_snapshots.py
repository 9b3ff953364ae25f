from __future__ import annotations

import math
import random
from collections.abc import Callable

from textual.app import App, ComposeResult

from tui_ft.widgets.chart import LineChart
from tui_ft.widgets.scene import Level
from tui_ft.widgets.series import SeriesData

SnapCompare = Callable[..., bool]


class Charts(App[None]):
    """Two charts as a monitor has them: a large one and a low one."""

    CSS = "#rate { height: 6; }"

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def compose(self) -> ComposeResult:
        yield LineChart("loss", x_kinds=("step", "time"), ascii=False)
        yield LineChart("learning rate", id="rate", ascii=False)

    def on_mount(self) -> None:
        noise = random.Random(7)
        steps = list(range(1, self.steps + 1))
        values: list[float | None] = [
            0.8 + 1.1 * math.exp(-i / 150) + noise.gauss(0, 0.05) for i in steps
        ]
        if self.steps:
            values[0] = 12.0
            values[500:580] = [None] * 80
            values[700] = math.nan
        evaluated = steps[99::150]
        held_out = [0.9 + math.exp(-i / 200) + max(0, i - 800) / 2000 for i in evaluated]
        rate = [2e-4 * min(1, i / 60) * (1 + math.cos(math.pi * i / 1560)) / 2 for i in steps]
        self.query_one(LineChart).update_series(
            [
                SeriesData("loss", steps, values),
                SeriesData("evaluation", evaluated, held_out, "secondary", "points"),
            ],
            levels=[Level(0.9, "best before 0.9")] if self.steps else [],
            x_end=1560,
        )
        self.query_one("#rate", LineChart).update_series(
            [SeriesData("learning rate", steps, rate, "accent", smooth=False)], x_end=1560
        )


def test_a_running_chart_at_80x24(snap_compare: SnapCompare) -> None:
    assert snap_compare(Charts(1240), terminal_size=(80, 24))


def test_a_running_chart_at_200x60_with_crosshair(snap_compare: SnapCompare) -> None:
    assert snap_compare(Charts(1240), terminal_size=(200, 60), press=["c", "left", "left"])


def test_an_empty_chart_at_80x24(snap_compare: SnapCompare) -> None:
    assert snap_compare(Charts(0), terminal_size=(80, 24))
