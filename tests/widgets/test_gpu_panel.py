from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from tui_ft.hardware.snapshot import Gpu, Host, Snapshot
from tui_ft.widgets.gpu_panel import HardwarePanel

GIB = 1 << 30
GPU = Gpu(
    0,
    "GPU-0",
    "NVIDIA H100 80GB HBM3",
    memory_total_bytes=int(79.6 * GIB),
    memory_used_bytes=int(61.2 * GIB),
    utilization=0.98,
    power_w=412.3,
    power_limit_w=700.0,
    temperature_c=64.0,
    sm_clock_mhz=1980,
    throttle_reasons=(),
)
HOST = Host("gpu01", cpu_utilization=0.12, memory_total_bytes=128 * GIB)
SNAPSHOT = Snapshot(0.0, HOST, (GPU, replace(GPU, index=1, uuid="GPU-1")))


class PanelApp(App[None]):
    def __init__(self, panel: HardwarePanel) -> None:
        super().__init__()
        self.panel = panel

    def compose(self) -> ComposeResult:
        yield self.panel


def make_app(*, detailed: bool = False) -> PanelApp:
    return PanelApp(HardwarePanel(detailed=detailed, ascii=False))


def shown(app: PanelApp) -> list[str]:
    rows = [strip.text.rstrip() for strip in app.screen._compositor.render_strips(app.size)]
    return [row for row in rows if row]


async def test_it_is_as_high_as_what_it_shows() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert shown(app) == ["waits for the first reading of the hardware"]
        assert app.panel.update(SNAPSHOT, labels={1: "support-qlora"})
        await pilot.pause()
        rows = shown(app)
        assert app.panel.size.height == len(rows) == 3
        assert rows[0].startswith(" 0 H100")
        assert rows[1].endswith("support-qlora")
        assert rows[2].startswith(" host cpu")


async def test_the_same_reading_repaints_nothing_and_a_new_one_its_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.update(SNAPSHOT)
        await pilot.pause()
        refreshed: list[Region] = []
        real = app.panel.refresh

        def refresh(*regions: Region, **options: Any) -> HardwarePanel:
            refreshed.extend(regions)
            return real(*regions, **options)

        monkeypatch.setattr(app.panel, "refresh", refresh)
        assert not app.panel.update(replace(SNAPSHOT, time=5.0))
        assert refreshed == []
        hotter = replace(SNAPSHOT, gpus=(GPU, replace(SNAPSHOT.gpus[1], temperature_c=71.0)))
        assert app.panel.update(hotter)
        assert refreshed == [Region(0, 1, 80, 1)]
        await pilot.pause()
        assert "71 °C" in shown(app)[1]


async def test_details_of_one_gpu_fit_a_side_pane() -> None:
    app = make_app(detailed=True)
    async with app.run_test(size=(38, 24)) as pilot:
        app.panel.update(SNAPSHOT, only=[1], predicted={1: 70.0 * GIB})
        await pilot.pause()
        rows = shown(app)
        assert rows[0] == "GPU 1: H100 80 GiB"
        assert rows[1].startswith("memory") and "░" in rows[1]
        assert "predicted peak 70.0 GiB" in rows[2]
        assert rows[-2] == "64 °C   1,980 MHz   no throttling"
        assert rows[-1] == " cpu  12 %   memory n/a/128.0 GiB"


async def test_a_machine_without_gpus_says_why() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.update(Snapshot(0.0, HOST, (), "no NVIDIA GPU in this machine"))
        await pilot.pause()
        assert shown(app)[0] == " ● no NVIDIA GPU in this machine"


async def test_an_old_reading_says_how_old_it_is() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.update(SNAPSHOT, stale_for=3.0)
        await pilot.pause()
        assert len(shown(app)) == 3
        app.panel.update(SNAPSHOT, stale_for=42.0)
        await pilot.pause()
        assert shown(app)[-1] == " ▲ no new reading for 0:42"


async def test_it_follows_the_width_of_the_terminal() -> None:
    app = make_app()
    async with app.run_test(size=(38, 24)) as pilot:
        app.panel.update(SNAPSHOT)
        await pilot.pause()
        assert "412 W" not in shown(app)[0]
        await pilot.resize_terminal(120, 24)
        await pilot.pause()
        assert "412 W" in shown(app)[0]
