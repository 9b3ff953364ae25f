"""Snapshots of the machine, taken behind: whoever asks gets the newest one at once."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from tui_ft.hardware.host import CpuMeter, read_host
from tui_ft.hardware.nvml import Nvml
from tui_ft.hardware.snapshot import Snapshot


class Sampler:
    """Takes a snapshot every ``interval`` seconds in a thread of its own.

    A driver that hangs holds up that thread and nobody else: `latest` then stays what it was, and
    `stale_for` grows.
    """

    def __init__(self, disk_path: Path, interval: float = 2.0) -> None:
        self._disk_path, self._interval = disk_path, interval
        self._nvml = Nvml()
        self._cpu = CpuMeter()
        self._latest: tuple[Snapshot, float] | None = None  # replaced whole, so needs no lock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="ftui-hardware")
            self._thread.start()

    def stop(self) -> None:
        """End for good after the snapshot that is being taken; does not wait for it."""
        self._stop.set()

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot, None before the first one."""
        latest = self._latest
        return latest[0] if latest else None

    def stale_for(self) -> float | None:
        """Return the seconds since the newest snapshot, None before the first one."""
        latest = self._latest
        return time.monotonic() - latest[1] if latest else None

    def _run(self) -> None:
        while not self._stop.is_set():
            # Whatever a driver does to us must not end the telemetry of a run of days.
            with contextlib.suppress(Exception):
                snapshot = _snapshot(self._nvml, self._cpu, self._disk_path)
                self._latest = (snapshot, time.monotonic())
            self._stop.wait(self._interval)
        self._nvml.close()


def take_snapshot(disk_path: Path) -> Snapshot:
    """Return the machine as it is now, without CPU utilisation, which takes two looks.

    Waits for the driver; see `Sampler` for where one cannot.
    """
    nvml = Nvml()
    try:
        return _snapshot(nvml, CpuMeter(), disk_path)
    finally:
        nvml.close()


def _snapshot(nvml: Nvml, cpu: CpuMeter, disk_path: Path) -> Snapshot:
    gpus, status = nvml.read()
    return Snapshot(time.time(), read_host(disk_path, cpu), gpus, status, nvml.driver_version)
