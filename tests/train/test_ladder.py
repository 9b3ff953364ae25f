"""The ladder with real training and a real want of memory: the curve is that of a run begun so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import ended, history_of, home, wait_until
from tests.tiny_model import chat_rows, write_rows
from tests.train.running import make_spec, run_worker
from tests.train.small_memory import LIMIT_AT
from tui_ft.runs import events as ev
from tui_ft.runs.ladder import rungs_of, step_down
from tui_ft.runs.launch import launch
from tui_ft.runs.reader import read_events
from tui_ft.spec import RunSpec
from tui_ft.spec.ladder import climbed

__all__ = ["home"]

OUT = ev.Ended(state="failed", reason="the GPU ran out of memory", cause="gpu_memory")


def _spec(folder: Path, model: Path, **training: Any) -> RunSpec:
    write_rows(folder / "rows.jsonl", chat_rows(600))
    few: dict[str, Any] = {
        "max_steps": 6,
        "eval_steps": None,
        "save_steps": 2,
        "on_out_of_memory": {},
    }
    one_thread = {"gpus": "none", "cpu_threads": 1}
    return make_spec(folder, model, training={**few, **training}, hardware=one_thread)


def test_memory_that_really_runs_out_ends_in_the_curve_of_a_run_begun_smaller(
    tmp_path: Path, tiny_llama: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_AT, "3")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")  # what is freed is given back at once
    spec = _spec(tmp_path, tiny_llama, per_device_train_batch_size=256)
    folder = launch(spec, worker="tests.train.small_memory:main")
    summary = wait_until(folder, ended, seconds=600)
    assert summary.state == "finished", summary
    assert summary.rungs == ("micro-batch 128, accumulation 2", "micro-batch 64, accumulation 4")
    first = next(event for event in read_events(folder) if isinstance(event, ev.Rung))
    assert first.reason.startswith("the host ran out of memory: this run held ")
    assert first.reason.endswith("(ulimit)")
    attempts = [event.step for event in read_events(folder) if isinstance(event, ev.Attempt)]
    assert attempts == [0, 2, 2]  # from the checkpoint, not from the beginning
    history = history_of(folder)
    assert history.plan is not None
    assert history.plan.effective_batch_size == 256

    smaller = climbed(spec, rungs_of(folder))
    begun_so = run_worker(smaller, tmp_path / "begun-so")
    assert history.series("loss").x == [1, 2, 3, 4, 5, 6]
    assert history.series("loss").y == pytest.approx(begun_so.losses, abs=1e-5)
    assert history.series("tokens").y == begun_so.history.series("tokens").y


@pytest.mark.parametrize(
    ("method", "training"),
    [
        ({"kind": "full"}, {"per_device_train_batch_size": 6, "packing": True}),
        (
            {"kind": "lora", "r": 8},
            {"on_out_of_memory": {"smaller_batches": False}},
        ),
    ],
    ids=["odd micro-batch, packed", "checkpointing"],
)
def test_resumed_on_a_lower_step_it_follows_the_curve_of_a_run_begun_there(
    tmp_path: Path, tiny_llama: Path, method: dict[str, Any], training: dict[str, Any]
) -> None:
    common: dict[str, Any] = {
        "max_steps": 12,
        "save_steps": 5,
        "eval_steps": None,
        "on_out_of_memory": {},
    }
    spec = make_spec(tmp_path, tiny_llama, method=method, training={**common, **training})

    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == 5:
            send("stop")

    ran = run_worker(spec, tmp_path / "run", on_event=stop)
    steps = 2 if method["kind"] == "full" else 1  # 6 -> 3 -> 1 rows, or checkpointing
    for _ in range(steps):
        assert step_down(ran.folder, OUT, ev.Phase(phase="train"), on_gpu=True)
    resumed = run_worker(spec, tmp_path / "run", resume=True)
    assert resumed.ended.state == "finished", resumed.ended
    begun_so = run_worker(climbed(spec, rungs_of(ran.folder)), tmp_path / "begun-so")
    assert len(begun_so.losses) == 12
    assert resumed.losses == pytest.approx(begun_so.losses, abs=1e-5)
    if method["kind"] == "full":
        arguments = resumed.trainer.args
        assert arguments.per_device_train_batch_size == 1
        assert arguments.gradient_accumulation_steps == 6
    else:
        assert resumed.trainer.args.gradient_checkpointing


def test_what_begins_anew_leaves_nothing_of_before_in_the_curve(
    tmp_path: Path, tiny_llama: Path
) -> None:
    few = {"max_steps": 4, "save_steps": 2, "eval_steps": None}
    ladder = {"smaller_batches": False, "gradient_checkpointing": False, "qlora": True}
    method = {"kind": "lora", "r": 8}
    output = {"keep_checkpoints": False}
    training = {**few, "on_out_of_memory": ladder}
    spec = make_spec(tmp_path, tiny_llama, method=method, training=training, output=output)

    def stop(event: ev.Event, send: Any) -> None:
        if isinstance(event, ev.Metrics) and event.step == 2:
            send("stop")

    ran = run_worker(spec, tmp_path / "run", on_event=stop)
    rung = step_down(ran.folder, OUT, ev.Phase(phase="train"), on_gpu=True)
    assert rung is not None
    assert rung.changes == {"method.kind": "qlora"}
    assert ran.folder.checkpoints() == []
    assert (ran.folder.path / "checkpoints-before-rung-1").is_dir()
    again = run_worker(spec, tmp_path / "run", resume=True)
    assert again.ended.state == "finished", again.ended
    assert again.history.plan is not None
    assert again.history.plan.method == "qlora"
    begun_so = run_worker(climbed(spec, rungs_of(ran.folder)), tmp_path / "begun-so")
    assert again.losses == pytest.approx(begun_so.losses, abs=1e-6)
    assert not list(ran.folder.path.glob("checkpoints*"))
    report = json.loads(ran.folder.report_file.read_text())
    assert report["rungs"] == [
        {"changes": {"method.kind": "qlora"}, "was": {"method.kind": "lora"}, "reason": OUT.reason}
    ]
