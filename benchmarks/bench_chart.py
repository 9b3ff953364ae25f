"""What a frame of the live chart costs: milliseconds and bytes to the terminal.

Run with `python -m benchmarks.bench_chart`. Prints, asserts nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable

from rich.style import Style
from textual._compositor import CompositorUpdate
from textual.app import App, ComposeResult
from textual.screen import Screen

from tui_ft.widgets.chart import LineChart
from tui_ft.widgets.plot import draw
from tui_ft.widgets.scene import Curve, Palette, Scene
from tui_ft.widgets.series import SeriesData, SeriesStore
from tui_ft.widgets.view import View

SIZE = (160, 45)
_NO_STYLE = Style.null()
_PALETTE = Palette(
    {
        "primary": _NO_STYLE,
        "secondary": _NO_STYLE,
        "accent": _NO_STYLE,
        "success": _NO_STYLE,
        "warning": _NO_STYLE,
        "error": _NO_STYLE,
        "foreground": _NO_STYLE,
    },
    _NO_STYLE,
    _NO_STYLE,
    _NO_STYLE,
)


def loss_curve(points: int) -> tuple[list[float], list[float | None]]:
    """Return steps and a noisy falling loss with a gap in a thousand."""
    noise = random.Random(0)
    x = [float(step) for step in range(1, points + 1)]
    y: list[float | None] = [
        None if step % 1000 < 2 else 0.8 + math.exp(-12 * step / points) + noise.gauss(0, 0.05)
        for step in range(1, points + 1)
    ]
    return x, y


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Return the fastest of ``times`` calls."""
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def measure(points: int) -> dict[str, float]:
    """Return milliseconds of what happens when a chart opens and while it lives."""
    x, y = loss_curve(points)
    data = SeriesData("loss", x, y)

    def opened() -> SeriesStore:
        store = SeriesStore()
        store.extend(x, y)
        store.smoothed(0.6)
        return store

    store = opened()
    scene = Scene([Curve(data, store)], View(), _PALETTE)

    def live() -> None:
        x.append(x[-1] + 1)
        y.append(0.8)
        store.extend(x, y)
        draw(scene, *SIZE)

    return {
        "open": milliseconds(opened, 3),
        "frame": milliseconds(lambda: draw(scene, *SIZE), 5),
        "new point + frame": milliseconds(live, 5),
    }


class CountingApp(App[None]):
    """One chart; counts the bytes that would go to the terminal."""

    sent = 0

    def compose(self) -> ComposeResult:
        """Show the chart."""
        yield LineChart("loss")

    def _display(self, screen: Screen[object], renderable: object) -> None:
        if isinstance(renderable, CompositorUpdate):
            self.sent += len(renderable.render_segments(self.console).encode())


async def live_bytes(updates: int) -> tuple[int, float]:
    """Return bytes of the first picture and mean bytes of an update with ten new points."""
    app = CountingApp()
    x, y = loss_curve(2_000 + 10 * updates)
    async with app.run_test(size=SIZE) as pilot:
        chart = app.query_one(LineChart)
        app.sent = 0
        chart.update_series([SeriesData("loss", x[:2_000], y[:2_000])], x_end=float(len(x)))
        await pilot.pause()
        first, app.sent = app.sent, 0
        for update in range(1, updates + 1):
            shown = 2_000 + 10 * update
            chart.update_series([SeriesData("loss", x[:shown], y[:shown])], x_end=float(len(x)))
            await pilot.pause()
    return first, app.sent / updates


def main() -> None:
    print(f"chart of {SIZE[0]} x {SIZE[1]} cells, milliseconds")
    for points in (2_000, 20_000, 200_000):
        found = measure(points)
        print(f"{points:>8,} points  " + "   ".join(f"{k} {v:6.1f}" for k, v in found.items()))
    first, mean = asyncio.run(live_bytes(50))
    print(f"first picture {first:,} bytes, then {mean:,.0f} bytes for an update (mean of 50)")


if __name__ == "__main__":
    main()
