"""The host through psutil, behind functions that never raise."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from tui_ft.hardware.snapshot import Host

_T = TypeVar("_T")


class CpuMeter:
    """Measures how busy the CPUs were between two looks, for one reader."""

    def __init__(self) -> None:
        self._busy, self._total = 0.0, 0.0
        self._begun = False

    def utilization(self) -> float | None:
        """Return the share since the last call, 0 to 1; None at the first call.

        Guests are counted in `user` and `nice` already, and waiting for a disk is idleness
        (proc(5), /proc/stat).
        """
        times = _or_none(psutil.cpu_times)
        if times is None:
            return None
        fields = times._asdict()
        total = sum(v for name, v in fields.items() if name not in ("guest", "guest_nice"))
        busy = total - fields["idle"] - fields.get("iowait", 0.0)
        passed, worked = total - self._total, busy - self._busy
        begun, self._begun = self._begun, True
        self._busy, self._total = busy, total
        # The kernel's counters may step back a little, so the share is kept within its bounds.
        return min(1.0, max(0.0, worked / passed)) if begun and passed > 0 else None


def read_host(disk_path: Path, cpu: CpuMeter) -> Host:
    """Return the host now.

    Args:
        disk_path: a folder on the disk asked about; the nearest one that exists is taken.
        cpu: the reader's own meter.
    """
    memory = _or_none(psutil.virtual_memory)
    swap = _or_none(psutil.swap_memory)
    disk = _or_none(lambda: psutil.disk_usage(str(nearest_existing(disk_path))))
    load = _or_none(psutil.getloadavg)
    booted = _or_none(psutil.boot_time)
    return Host(
        hostname=socket.gethostname(),
        cpu_count=_or_none(psutil.cpu_count),
        cpu_utilization=cpu.utilization(),
        load_1m=load[0] if load else None,
        memory_total_bytes=memory.total if memory else None,
        # Not psutil's `used`, which leaves out caches that cannot be reclaimed.
        memory_used_bytes=memory.total - memory.available if memory else None,
        memory_available_bytes=memory.available if memory else None,
        swap_total_bytes=swap.total if swap else None,
        swap_used_bytes=swap.used if swap else None,
        disk_total_bytes=disk.total if disk else None,
        disk_free_bytes=disk.free if disk else None,
        # A clock that is set right after booting may lie behind it.
        uptime_s=max(0.0, time.time() - booted) if booted else None,
    )


def nearest_existing(path: Path) -> Path:
    """Return ``path`` or the nearest of its parents that exists and can be reached."""
    for candidate in (path, *path.parents):
        if _or_none(candidate.exists):
            return candidate
    return Path("/")


def _or_none(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except (OSError, RuntimeError, psutil.Error):
        return None
