from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tui_ft.hardware import Gpu, GpuProcess, Host, Sampler, Snapshot, sampler, take_snapshot

Environment = dict[str, str]


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_snapshot_is_of_now_and_of_the_disk_asked_about(tmp_path: Path) -> None:
    before = time.time()
    snapshot = take_snapshot(tmp_path)
    assert before <= snapshot.time <= time.time()
    assert snapshot.host.disk_free_bytes
    assert bool(snapshot.gpus) == (snapshot.gpu_status is None)


def test_the_newest_snapshot_is_there_at_once(tmp_path: Path) -> None:
    behind = Sampler(tmp_path, 0.02)
    assert (behind.latest(), behind.stale_for()) == (None, None)
    behind.start()
    behind.start()
    threads = [thread for thread in threading.enumerate() if thread.name == "ftui-hardware"]
    assert [thread.daemon for thread in threads] == [True]
    _wait_for(behind.latest)
    first = behind.latest()
    _wait_for(lambda: behind.latest() is not first)
    stale = behind.stale_for()
    assert stale is not None
    assert stale >= 0
    behind.stop()
    threads[0].join(120)
    assert not threads[0].is_alive()
    last, stale = behind.latest(), behind.stale_for()
    assert last is not None
    assert stale is not None
    _wait_for(lambda: (behind.stale_for() or 0) > stale)
    assert behind.latest() is last


def test_it_survives_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = 0

    def read_host(*_: object) -> Host:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise RuntimeError("once in a while")
        return Host(f"look {calls}")

    monkeypatch.setattr(sampler, "read_host", read_host)
    behind = Sampler(tmp_path, 0.05)
    behind.start()
    _wait_for(lambda: calls >= 6)
    behind.stop()
    seen = behind.latest()
    assert seen is not None
    look = int(seen.host.hostname.removeprefix("look "))
    assert look >= 4
    assert look % 2 == 0


def test_gpus_of_a_snapshot_come_from_the_driver(environment: Environment, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tui_ft.hardware import take_snapshot\n"
        "s = take_snapshot(Path(sys.argv[1]))\n"
        "print(len(s.gpus), s.gpu_status, s.driver_version)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "None", "580.65.06"]


def test_a_driver_that_hangs_leaves_the_last_snapshot(
    environment: Environment, tmp_path: Path
) -> None:
    code = """
import os, sys, time
from pathlib import Path
from tests.nvml_stub import change_settings
from tui_ft.hardware import Sampler

def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

sampler = Sampler(Path(sys.argv[1]), 0.01)
sampler.start()
wait_for(sampler.latest)
change_settings(os.environ, **{"hang.nvmlDeviceGetCount_v2": 3600})

def stays():
    # On a busy machine a look may take a second before the driver hangs.
    last = sampler.latest()
    time.sleep(0.5)
    return sampler.stale_for() > 0.5 and sampler.latest() is last

wait_for(stays)
last = sampler.latest()
sampler.stop()
print(len(last.gpus), last.gpu_status)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert done.stdout.split() == ["2", "None"]


def test_a_snapshot_is_plain_json(tmp_path: Path) -> None:
    host = take_snapshot(tmp_path).host
    gpu = Gpu(
        0,
        "GPU-aa10",
        "H100",
        utilization=0.5,
        throttle_reasons=("power limit",),
        compute_capability=(9, 0),
        processes=(GpuProcess(17, memory_bytes=5),),
    )
    snapshot = Snapshot(time.time(), host, (gpu,), None, "580.65.06")
    written = msgspec.json.encode(snapshot)
    assert msgspec.json.decode(written, type=Snapshot) == snapshot
    (plain,) = json.loads(written)["gpus"]
    assert (plain["fan"], plain["compute_capability"]) == (None, [9, 0])
    assert plain["processes"] == [{"pid": 17, "user": None, "memory_bytes": 5, "command": None}]


def test_importing_the_room_loads_nothing_heavy() -> None:
    heavy = "torch transformers trl peft datasets bitsandbytes numpy pandas pyarrow pynvml"
    code = "import sys, tui_ft.hardware; print(*(set(sys.argv[1:]) & set(sys.modules)))"
    command = [sys.executable, "-c", code, *heavy.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == []
