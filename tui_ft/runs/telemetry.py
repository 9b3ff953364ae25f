"""What the supervisor writes down of the hardware: the run's own GPUs, its host, its worker."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Set as AbstractSet
from typing import Final

import psutil

from tui_ft.hardware import Gpu, Snapshot
from tui_ft.runs import events as ev

_LEAST_INTERVAL: Final = 2.0
_MOST_INTERVAL: Final = 15.0
_SLOWDOWN: Final = 2_000.0


class TelemetryClock:
    """Says when the next reading is due: every 2 s at first, up to 15 s in a run of many hours.

    So a run of a week leaves some 40,000 readings, about 15 MB, and the first minutes, in which
    one looks, are dense.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last = float("-inf")

    def is_due(self) -> bool:
        """Tell whether a reading is due; if so, the next one counts from now."""
        now = time.monotonic()
        interval = (now - self._started) / _SLOWDOWN
        if now - self._last < min(max(interval, _LEAST_INTERVAL), _MOST_INTERVAL):
            return False
        self._last = now
        return True


def reading(
    snapshot: Snapshot, gpu_uuids: AbstractSet[str], worker_pid: int | None
) -> ev.Telemetry:
    """Return the event for ``snapshot``, of the GPUs with these UUIDs alone."""
    host = snapshot.host
    return ev.Telemetry(
        t=snapshot.time,
        gpus=tuple(_gpu_reading(gpu) for gpu in snapshot.gpus if gpu.uuid in gpu_uuids),
        cpu_utilization=host.cpu_utilization,
        memory_used=host.memory_used_bytes,
        memory_total=host.memory_total_bytes,
        disk_free=host.disk_free_bytes,
        worker_resident=_resident_bytes(worker_pid),
    )


def _gpu_reading(gpu: Gpu) -> ev.GpuReading:
    return ev.GpuReading(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        memory_used=gpu.memory_used_bytes,
        memory_total=gpu.memory_total_bytes,
        utilization=gpu.utilization,
        power_w=gpu.power_w,
        power_limit_w=gpu.power_limit_w,
        temperature_c=gpu.temperature_c,
        sm_clock_mhz=gpu.sm_clock_mhz,
        throttling=gpu.throttle_reasons,
        error=gpu.error,
    )


def _resident_bytes(pid: int | None) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss) if pid else None
    return None
