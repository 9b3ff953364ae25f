"""Times of finished runs on a GPU, as their reports tell them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.memory.models import TINY
from tui_ft import paths
from tui_ft.models import architecture_of
from tui_ft.runs.folder import RunFolder, create
from tui_ft.runs.measured_time import timed_runs
from tui_ft.runs.registry import RunSummary
from tui_ft.spec import build_spec

PLAN = {"device": "NVIDIA H100 80GB HBM3", "effective_batch_size": 8, "trainable_parameters": 0}
REPORT = {"plan": PLAN, "seconds": 100.0, "steps": 50, "tokens": 50 * 8 * 64}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


def finished(tmp_path: Path, report: object, attempt: int = 1) -> RunFolder:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    training = {"gradient_accumulation_steps": 2, "gradient_checkpointing": False}
    folder = create(
        build_spec(
            {
                "model": {"name_or_path": str(tmp_path)},
                "data": {"train": "d.jsonl"},
                "method": {"kind": "full"},
                "training": {**training, "per_device_train_batch_size": 4},
            }
        )
    )
    status = RunSummary(id=folder.id, state="finished", attempt=attempt)
    paths.write_atomically(folder.status_file, msgspec.json.encode(status))
    folder.report_file.write_text(json.dumps(report))
    return folder


def test_operations_and_seconds_of_a_run_in_one_go(tmp_path: Path) -> None:
    finished(tmp_path, REPORT)
    (run,) = timed_runs()
    forward = architecture_of(TINY).forward_flops(64)
    assert run.flops == 50 * 2 * 4 * 3 * forward  # steps, passes, rows, forward and backward
    assert (run.method, run.seconds, run.peak_flops) == ("full", 100.0, 989e12)


@pytest.mark.parametrize(
    "report",
    [
        {**REPORT, "plan": {**PLAN, "device": "CPU, 2 threads"}},
        {**REPORT, "seconds": 0.0},
        {**REPORT, "steps": 0},
        {**REPORT, "plan": None},
        {},
    ],
)
def test_what_tells_no_time_is_left_out(tmp_path: Path, report: object) -> None:
    finished(tmp_path, report)
    assert timed_runs() == ()


def test_a_resumed_runs_report_tells_its_last_attempt_alone(tmp_path: Path) -> None:
    finished(tmp_path, REPORT, attempt=2)
    assert timed_runs() == ()
