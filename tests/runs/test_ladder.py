"""Runs that run out of memory and help themselves: what is written down, and how each goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import Start, ended, history_of, wait_until
from tui_ft.runs import events as ev
from tui_ft.runs.endings import worker_died
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory, describe
from tui_ft.runs.ladder import as_trained, aside, rungs_of, step_down
from tui_ft.runs.launch import resume
from tui_ft.runs.reader import read_events
from tui_ft.spec import RunSpec, dump_spec
from tui_ft.spec.ladder import with_changes

OUT = ev.Ended(state="failed", reason="the GPU ran out of memory", cause="gpu_memory")
TRAIN = ev.Phase(phase="train")


def _with_ladder(spec: RunSpec, batch: int = 8, **ladder: Any) -> RunSpec:
    changes = {
        "training.per_device_train_batch_size": batch,
        "training.on_out_of_memory": ladder,
        "training.gradient_checkpointing": False,
    }
    return with_changes(spec, changes)


def _folder(path: Path, spec: RunSpec) -> RunFolder:
    path.mkdir()
    folder = RunFolder(path)
    folder.spec_file.write_text(dump_spec(spec))
    return folder


def test_a_run_out_of_memory_goes_on_with_smaller_batches_in_a_new_process(
    start: Start, spec: RunSpec
) -> None:
    folder = start("short_of_memory", _with_ladder(spec))
    summary = wait_until(folder, ended)
    assert (summary.state, summary.attempt) == ("finished", 3)
    assert summary.rungs == ("micro-batch 4, accumulation 2", "micro-batch 2, accumulation 4")
    said = [line for line in folder.worker_log.read_text().splitlines() if "in process" in line]
    assert len(set(said)) == 3
    attempts = [event.step for event in read_events(folder) if isinstance(event, ev.Attempt)]
    assert attempts == [0, 1, 2]
    # What was trained beyond the checkpoint is trained again, with the new settings.
    loss = history_of(folder).series("loss")
    assert loss.x == [1, 2, 3, 4, 5, 6, 7, 8]
    assert loss.y == [8.0, 4.0, *[2.0] * 6]
    first = next(event for event in read_events(folder) if isinstance(event, ev.Rung))
    assert tuple(first.changes["training.per_device_train_batch_size"]) == (8, 4)
    assert describe(first) == (
        "the GPU ran out of memory at step 2; goes on with micro-batch 4, accumulation 2 "
        "(step 1 of its ladder)"
    )


def test_the_spec_stays_as_launched_and_the_steps_lie_beside_it(
    start: Start, spec: RunSpec
) -> None:
    chosen = _with_ladder(spec)
    folder = start("short_of_memory", chosen)
    wait_until(folder, ended)
    assert folder.spec() == chosen
    training = as_trained(folder).training
    assert training.per_device_train_batch_size == 2
    assert training.gradient_accumulation_steps == 4
    written = json.loads((folder.path / "rungs.json").read_text())
    batches = [rung["changes"]["training.per_device_train_batch_size"] for rung in written]
    assert batches == [4, 2]
    assert (folder.path / "rungs.json").stat().st_mode & 0o777 == 0o600


def test_a_ladder_comes_to_its_end_and_resuming_goes_on_there(start: Start, spec: RunSpec) -> None:
    folder = start("never_enough", _with_ladder(spec, batch=2))
    summary = wait_until(folder, ended)
    assert summary.state == "failed"
    assert summary.reason == (
        "the GPU ran out of memory; after 2 steps its ladder is at its end "
        "(tried: micro-batch 1, accumulation 2, gradient checkpointing on)"
    )
    assert summary.advice == ("buy a larger one",)
    resume(folder, worker="tests.runs.workers:short_of_memory")
    wait_until(folder, ended)
    assert history_of(folder).series("loss").last() == 1.0  # with the batch that was reached


def test_without_a_ladder_it_ends(start: Start) -> None:
    folder = start("never_enough")
    summary = wait_until(folder, ended)
    assert (summary.state, summary.reason) == ("failed", "the GPU ran out of memory")
    assert not (folder.path / "rungs.json").exists()


def test_what_is_of_another_kind_begins_anew_and_what_was_is_left_aside(
    start: Start, spec: RunSpec
) -> None:
    ladder = {"smaller_batches": False, "gradient_checkpointing": False, "min_max_length": 512}
    folder = start("never_enough", _with_ladder(spec, **ladder))
    wait_until(folder, ended)
    attempts = [event for event in read_events(folder) if isinstance(event, ev.Attempt)]
    assert [attempt.step for attempt in attempts] == [0, 0]
    assert (aside(folder, 1) / "checkpoint-1" / "trainer_state.json").is_file()
    assert as_trained(folder).training.max_length == 512


@pytest.mark.parametrize(
    ("outcome", "on_gpu", "steps"),
    [
        (OUT, True, 1),
        (ev.Ended(state="failed", reason="host", cause="host_memory"), False, 1),
        (ev.Ended(state="failed", reason="host", cause="host_memory"), True, 0),
        (ev.Ended(state="failed", reason="something else"), True, 0),
    ],
    ids=["GPU", "host of a run on the CPU", "host beside a GPU", "no memory"],
)
def test_only_memory_that_the_run_itself_fills_is_a_reason(
    spec: RunSpec, tmp_path: Path, outcome: ev.Ended, on_gpu: bool, steps: int
) -> None:
    folder = _folder(tmp_path / "run", _with_ladder(spec))
    step_down(folder, outcome, TRAIN, on_gpu=on_gpu)
    assert len(rungs_of(folder)) == steps
    assert step_down(folder, outcome, ev.Phase(phase="save"), on_gpu=on_gpu) is None


def test_a_worker_that_the_system_killed_for_want_of_memory_counts(tmp_path: Path) -> None:
    full, empty = RunHistory(), RunHistory()
    full.add(ev.Telemetry(gpus=(), memory_used=98, memory_total=100))
    empty.add(ev.Telemetry(gpus=(), memory_used=10, memory_total=100))
    folder = RunFolder(tmp_path)
    assert worker_died(folder, full, -9).cause == "host_memory"
    assert worker_died(folder, empty, -9).cause == ""
    assert worker_died(folder, full, -11).cause == ""
