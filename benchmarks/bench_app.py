"""How soon the app shows something, and how much memory it takes."""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_ROUNDS = 7
_IMPORTS = {
    "python alone": "pass",
    "textual.app": "import textual.app",
    "tui_ft.app": "import tui_ft.app",
}


def first_frame() -> dict[str, float]:
    """Measure, in a real pseudo-terminal, the seconds from exec to the first painted Home."""
    with tempfile.TemporaryDirectory() as home:
        times = [_until_painted(home)[0] for _ in range(_ROUNDS)]
    found = {"first frame of Home in a pty, s (median of 7)": statistics.median(times)}
    for name, code in _IMPORTS.items():
        found[f"process that does `{name}`, s (median of 7)"] = statistics.median(
            _seconds_of(code) for _ in range(_ROUNDS)
        )
    return found


def memory() -> dict[str, float]:
    """Measure the resident memory of the app, two seconds after its first frame."""
    with tempfile.TemporaryDirectory() as home:
        return {"resident memory of the app, MB": _until_painted(home, stay=2.0)[1] / 1e6}


def _until_painted(home: str, stay: float = 0.0) -> tuple[float, int]:
    """Return the seconds until the word `Runs` is on the terminal, and the memory then."""
    environment = {**os.environ, "FTUI_HOME": home, "TERM": "xterm-256color"}
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "ftui")],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "COLUMNS": "80", "LINES": "24"},
        start_new_session=True,
    )
    os.close(slave)
    seen, seconds, deadline = b"", 0.0, started + 30
    while time.perf_counter() < deadline:
        select.select([master], [], [], 0.01)
        seen += _read(master)
        if b"Runs" in seen and not seconds:
            seconds = time.perf_counter() - started
            deadline = time.perf_counter() + stay
    resident = int(psutil.Process(process.pid).memory_info().rss)
    process.kill()
    process.wait()
    os.close(master)
    return seconds, resident


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except (BlockingIOError, OSError):
        return b""


def _seconds_of(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started
