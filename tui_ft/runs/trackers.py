"""The trackers of a run as its supervisor sees them: started, looked at, never waited for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator

from tui_ft import paths, text
from tui_ft.runs import events as ev
from tui_ft.runs.background import private_log
from tui_ft.runs.folder import RunFolder
from tui_ft.spec import RunSpec
from tui_ft.spec.tracking import PACKAGES, TrackerName


def missing_trackers(spec: RunSpec) -> tuple[TrackerName, ...]:
    """Return the trackers that a run asks for and that are not installed."""
    return tuple(name for name in spec.tracking.report_to if not _is_installed(name))


class Trackers:
    """One process for each tracker, which may be hung, broken or gone: the run goes on."""

    def __init__(self, folder: RunFolder, spec: RunSpec) -> None:
        """Start those that are installed, and return at once."""
        self._folder = folder
        self._processes: dict[TrackerName, subprocess.Popen[bytes]] = {}
        self._alerts: list[ev.Alert] = []
        missing = missing_trackers(spec)
        for name in spec.tracking.report_to:
            if name not in missing:
                self._start(name)

    def look(self) -> Iterator[ev.Alert]:
        """Yield a warning for each tracker that has ended before the run; takes no time."""
        alerts, self._alerts = self._alerts, []
        yield from alerts
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self._processes[name]
            if code:
                yield _warning(name, self._last_word(name) or f"exit code {code}")

    def _start(self, name: TrackerName) -> None:
        command = [*(sys.executable, "-P", "-m", "tui_ft.tracking"), str(self._folder.path), name]
        try:
            place = paths.make_private_dir(self._folder.path / "tracking")
            with private_log(place / f"{name}.log") as log:
                self._processes[name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=place,
                    start_new_session=True,
                )
        except OSError as error:
            self._alerts.append(_warning(name, error.strerror or str(error)))

    def _last_word(self, name: TrackerName) -> str:
        file = self._folder.path / "tracking" / f"{name}.log"
        try:
            lines = file.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return text.one_line(lines[-1], 300) if lines else ""


def _warning(name: TrackerName, why: str) -> ev.Alert:
    return ev.Alert(
        severity="warning",
        kind="tracking",
        text=f"{name} no longer gets the run's figures: {why}",
        advice=f"tracking/{name}.log in the run's folder has more; the run goes on",
    )


def _is_installed(name: TrackerName) -> bool:
    try:
        return importlib.util.find_spec(PACKAGES[name]) is not None
    except (ImportError, ValueError):
        return False
