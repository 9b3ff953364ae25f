"""Runs that ask for one GPU queue up, with real supervisors over the real NVML binding."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nvml_stub import build_stub, stub_environment
from tests.runs.conftest import Start, ended, history_of, steps_done, wait_until
from tests.runs.workers import STEPS, let_go
from tui_ft.runs import control
from tui_ft.runs import events as ev
from tui_ft.runs.reader import read_events
from tui_ft.spec import RunSpec


@pytest.fixture
def two_gpus(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process, and so every supervisor it starts, see two cards."""
    library = tmp_path / "nvml"
    library.mkdir()
    environment = stub_environment(build_stub(library), count=2)
    for name in ("LD_LIBRARY_PATH", "FTUI_NVML_STUB"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def _on(spec: RunSpec, gpus: object) -> RunSpec:
    hardware = spec.hardware.model_copy(update={"gpus": gpus})
    return spec.model_copy(update={"hardware": hardware})


def test_the_second_run_for_a_gpu_waits_for_the_first(
    two_gpus: None, start: Start, spec: RunSpec
) -> None:
    first = start("train_when_let", _on(spec, [0]))
    wait_until(first, steps_done(first, 2))
    second = start("train", _on(spec, [0]))
    waiting = wait_until(second, lambda s: "waits" in s.reason)
    assert waiting.state == "queued"
    assert waiting.reason == "waits for GPU 0, after support"
    other = start("short", _on(spec, [1]))
    assert wait_until(other, ended).state == "finished"  # another GPU waits for nobody
    let_go(first)
    assert wait_until(first, ended).state == "finished"
    assert wait_until(second, ended).state == "finished"
    end_of_first = history_of(first).clock.ended
    began = next(e.t for e in read_events(second) if isinstance(e, ev.Metrics))
    assert end_of_first is not None
    assert began > end_of_first
    assert len(history_of(second).series("loss").x) == STEPS


def test_a_waiting_run_can_be_stopped(two_gpus: None, start: Start, spec: RunSpec) -> None:
    first = start("train_when_let", _on(spec, [0]))
    wait_until(first, steps_done(first, 1))  # it has the GPU
    second = start("train", _on(spec, [0]))
    wait_until(second, lambda s: s.state == "queued" and "waits" in s.reason)
    control.request_stop(second)
    assert "before training began" in wait_until(second, ended).reason
    control.request_kill(first)
    wait_until(first, ended)


def test_a_run_gets_its_gpu_by_uuid_and_its_telemetry(
    two_gpus: None, start: Start, spec: RunSpec
) -> None:
    folder = start("train_when_let", _on(spec, [1]))
    wait_until(folder, lambda _: any(e.gpus for e in history_of(folder).telemetry))
    let_go(folder)
    wait_until(folder, ended)
    printed = folder.worker_log.read_text()
    (telemetry, *_) = [e for e in history_of(folder).telemetry if e.gpus]
    (card,) = telemetry.gpus
    assert card.index == 1
    assert f"gpus=(1,) visible={card.uuid}" in printed
    assert card.memory_total is not None


def test_auto_takes_the_free_one(two_gpus: None, start: Start, spec: RunSpec) -> None:
    first, second = (start("train_when_let", _on(spec, "auto")) for _ in range(2))
    held = [wait_until(run, lambda s: bool(s.gpus)).gpus for run in (first, second)]
    assert sorted(held) == [(0,), (1,)]
    for run in (first, second):
        control.request_kill(run)
        wait_until(run, ended)
