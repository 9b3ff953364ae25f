"""Make the README's pictures from real runs and data: `python docs/make_screenshots.py [RUN]`.

Opens the app without a terminal on the runs under `$FTUI_HOME` and writes `docs/home.svg` and
`docs/monitor.svg` (of RUN, or of the newest run); on the demonstration's rows, in its model's
tokens, `docs/data.svg` (80x24) and `docs/data-wide.svg` (200x60).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from textual.pilot import Pilot

from tui_ft.app import FtuiApp
from tui_ft.demo.prepare import DemoError, prepare
from tui_ft.runs.registry import list_runs
from tui_ft.screens.data.screen import DataScreen

_FOLDER = Path(__file__).resolve().parent
_SIZE = (132, 44)
_SETTLE_SECONDS = 4.0
_LOOKS = 600


async def _picture(run_id: str | None, name: str) -> Path:
    app = FtuiApp(run_id)
    async with app.run_test(size=_SIZE) as pilot:
        await pilot.pause(_SETTLE_SECONDS)
        return _write(app, name)


async def _data_picture(data: str, model: str, size: tuple[int, int], name: str) -> Path:
    app = FtuiApp()
    async with app.run_test(size=size) as pilot:
        screen = DataScreen(data, model)
        app.push_screen(screen)
        await _known(screen, pilot)
        if screen.has_class("-vast"):
            # Rows packed into sequences of 512 tokens, and why a finding matters.
            await pilot.press("l", *"512", "enter", "v", "v", "f")
        await pilot.pause(_SETTLE_SECONDS)
        return _write(app, name)


async def _known(screen: DataScreen, pilot: Pilot[None]) -> None:
    for _ in range(_LOOKS):
        await pilot.pause(0.1)
        if screen.is_shown_whole():
            return


def _write(app: FtuiApp, name: str) -> Path:
    path = _FOLDER / f"{name}.svg"
    path.write_text(app.export_screenshot(title="ftui"))
    return path


def _data_pictures() -> None:
    spec = prepare(_tell)
    for size, name in (((80, 24), "data"), ((200, 60), "data-wide")):
        made = _data_picture(spec.data.train, spec.model.name_or_path, size, name)
        sys.stdout.write(f"{asyncio.run(made)}\n")


def _tell(said: str) -> None:
    sys.stderr.write(f"{said}\n")


def main() -> int:
    """Write all pictures that there is something to show for; say where."""
    try:
        _data_pictures()
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    runs = list_runs()
    if not runs:
        sys.stderr.write("there are no runs to show: `ftui demo` makes one\n")
        return 1
    chosen = sys.argv[1] if len(sys.argv) > 1 else runs[0].id
    for run_id, name in ((None, "home"), (chosen, "monitor")):
        sys.stdout.write(f"{asyncio.run(_picture(run_id, name))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
