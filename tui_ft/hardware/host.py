"""The host through psutil, behind one function that never raises."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from tui_ft.hardware.snapshot import Host

_T = TypeVar("_T")


def read_host(disk_path: Path) -> Host:
    """Return the host now; CPU utilisation is since the last call, None at the first.

    Args:
        disk_path: a folder on the disk asked about; the nearest one that exists is taken.
    """
    memory = _or_none(psutil.virtual_memory)
    swap = _or_none(psutil.swap_memory)
    existing = next((p for p in (disk_path, *disk_path.parents) if p.exists()), Path("/"))
    disk = _or_none(lambda: psutil.disk_usage(str(existing)))
    busy = _or_none(lambda: psutil.cpu_percent(interval=None))
    load = _or_none(psutil.getloadavg)
    return Host(
        hostname=socket.gethostname(),
        cpu_count=_or_none(psutil.cpu_count),
        cpu_utilization=busy / 100 if busy else None,
        load_1m=load[0] if load else None,
        memory_total_bytes=memory.total if memory else None,
        # Not psutil's `used`, which leaves out caches that cannot be reclaimed.
        memory_used_bytes=memory.total - memory.available if memory else None,
        memory_available_bytes=memory.available if memory else None,
        swap_total_bytes=swap.total if swap else None,
        swap_used_bytes=swap.used if swap else None,
        disk_total_bytes=disk.total if disk else None,
        disk_free_bytes=disk.free if disk else None,
    )


def _or_none(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except (OSError, RuntimeError, psutil.Error):
        return None
