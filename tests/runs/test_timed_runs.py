"""What finished runs say of how long one will take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.memory.models import TINY
from tui_ft.models import architecture_of
from tui_ft.runs import folder as folders
from tui_ft.runs.timed_runs import run_duration, timed_runs
from tui_ft.spec import RunSpec, build_spec

ROWS = 8


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(TINY))
    return build_spec(
        {
            "model": {"name_or_path": str(model)},
            "data": {"train": "rows.jsonl"},
            "training": {
                "per_device_train_batch_size": ROWS,
                "gradient_accumulation_steps": 1,
                "gradient_checkpointing": False,
            },
        }
    )


def _finish(spec: RunSpec, seconds: float, **more: Any) -> None:
    report = {
        "steps": 10,
        "tokens": 10 * ROWS * 100,
        "seconds": seconds,
        "plan": {"effective_batch_size": ROWS, "trainable_parameters": 1000},
        "peak_memory": {"device": "NVIDIA A100-SXM4-40GB", "reserved": 1},
    }
    folders.create(spec).report_file.write_text(json.dumps(report | more))


def test_operations_of_a_finished_run_by_hand(spec: RunSpec) -> None:
    _finish(spec, 20.0)
    (found,) = timed_runs()
    forward = architecture_of(TINY).forward_flops(100)
    assert found.flops == 10 * ROWS * (2 * forward + 6 * 1000 * 100)
    assert (found.method, found.seconds, found.peak_flops) == ("lora", 20.0, 312e12)


def test_runs_on_the_cpu_or_with_torn_reports_do_not_count(spec: RunSpec) -> None:
    _finish(spec, 20.0, peak_memory={"device": "cpu", "reserved": None})
    _finish(spec, 20.0, peak_memory=None)
    _finish(spec, 20.0, plan=None)
    folders.create(spec).report_file.write_text("[")
    assert timed_runs() == ()


def test_three_runs_make_an_estimate_measured(spec: RunSpec) -> None:
    known: dict[str, Any] = {"steps": 10, "mean_length": 100, "trainable_parameters": 1000}
    architecture = architecture_of(TINY)
    guess = run_duration(spec, architecture, gpu="NVIDIA A100-SXM4-40GB", **known)
    assert guess is not None
    assert guess.rough
    for seconds in (20.0, 25.0, 40.0):
        _finish(spec, seconds)
    measured = run_duration(spec, architecture, gpu="NVIDIA A100-SXM4-40GB", **known)
    assert measured is not None
    assert not measured.rough
    assert (measured.low, measured.expected, measured.high) == pytest.approx((20.0, 25.0, 40.0))
    assert run_duration(spec, architecture, gpu="an unknown one", **known) is None
