"""Make the README's pictures from a real run: `python docs/make_screenshots.py [RUN]`.

Opens the app without a terminal on the runs under `$FTUI_HOME` and writes `docs/home.svg` and
`docs/monitor.svg` (of RUN, or of the newest run).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tui_ft.app import FtuiApp
from tui_ft.runs.registry import list_runs

_FOLDER = Path(__file__).resolve().parent
_SIZE = (132, 44)
_SETTLE_SECONDS = 4.0


async def _picture(run_id: str | None, name: str) -> Path:
    app = FtuiApp(run_id)
    async with app.run_test(size=_SIZE) as pilot:
        await pilot.pause(_SETTLE_SECONDS)
        path = _FOLDER / f"{name}.svg"
        path.write_text(app.export_screenshot(title="ftui"))
    return path


def main() -> int:
    """Write both pictures; say where."""
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
