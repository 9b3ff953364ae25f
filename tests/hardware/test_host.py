from __future__ import annotations

import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from tui_ft.hardware.host import CpuMeter, nearest_existing, read_host

Times = namedtuple("Times", "user nice system idle iowait guest guest_nice")


def _meter(monkeypatch: pytest.MonkeyPatch, *times: Times) -> CpuMeter:
    readings = iter(times)
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    return CpuMeter()


def test_cpu_utilization_is_none_first_then_the_share_between_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meter = _meter(
        monkeypatch,
        Times(100, 0, 50, 1_000, 10, 40, 0),
        Times(103, 0, 51, 1_004, 12, 42, 0),  # 4 s busy, 4 s idle, 2 s waiting for the disk
        Times(103, 0, 51, 1_014, 12, 42, 0),
        Times(103, 0, 51, 1_014, 12, 42, 0),
    )
    assert [meter.utilization() for _ in range(4)] == [None, pytest.approx(0.4), 0.0, None]


def test_host_readings_agree_with_the_system(tmp_path: Path) -> None:
    host = read_host(tmp_path / "not" / "there", CpuMeter())
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(tmp_path))
    assert host.memory_total_bytes == memory.total
    assert host.memory_used_bytes is not None
    assert host.memory_available_bytes is not None
    assert host.memory_used_bytes + host.memory_available_bytes == memory.total
    assert host.disk_total_bytes == disk.total
    assert host.cpu_count == psutil.cpu_count()
    assert host.cpu_utilization is None
    assert host.hostname
    assert host.uptime_s == pytest.approx(time.time() - psutil.boot_time(), abs=60)


def test_what_the_system_hides_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def deny() -> None:
        raise psutil.AccessDenied

    for name in ("virtual_memory", "swap_memory", "getloadavg", "cpu_times"):
        monkeypatch.setattr(psutil, name, deny)
    host = read_host(tmp_path, CpuMeter())
    assert (host.memory_total_bytes, host.memory_used_bytes) == (None, None)
    assert (host.swap_total_bytes, host.load_1m, host.cpu_utilization) == (None, None, None)
    assert host.disk_free_bytes is not None


def test_nearest_existing(tmp_path: Path) -> None:
    assert nearest_existing(tmp_path / "a" / "b") == tmp_path
    assert nearest_existing(tmp_path) == tmp_path
