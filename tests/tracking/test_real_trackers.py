"""The trackers themselves, where they are installed: what they are fed is what they hold."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.spec import dump_spec


def _feed(folder: RunFolder, name: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tui_ft.tracking", str(folder.path), name, "--patience", "120"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def _go_on(folder: RunFolder) -> None:
    """Add a second attempt to a run: back to the checkpoint of step 2, and on to step 4."""
    journal = Journal(folder)
    journal.write(ev.Attempt(number=2, host="h", user="u", pid=0, step=2))
    for step in (3, 4):
        journal.write(ev.Metrics(step=step, epoch=0.1, values={"loss": 1.0 / step}))
    journal.write(ev.Ended(state="stopped", reason="as asked"))
    journal.close()


def test_tensorboard(past_run: RunFolder) -> None:
    accumulator: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _feed(past_run, "tensorboard")
    read = accumulator.EventAccumulator(str(past_run.path / "tracking" / "tensorboard"))
    read.Reload()
    losses = [(one.step, one.value) for one in read.Scalars("train/loss")]
    assert losses == [(1, 4.0), (2, 2.0), (3, pytest.approx(4 / 3))]
    assert [one.step for one in read.Scalars("train/grad_norm")] == [1, 3]
    assert [one.value for one in read.Scalars("eval/loss")] == [1.25]
    _go_on(past_run)
    _feed(past_run, "tensorboard")
    read = accumulator.EventAccumulator(str(past_run.path / "tracking" / "tensorboard"))
    read.Reload()
    assert [one.step for one in read.Scalars("train/loss")] == [1, 2, 3, 3, 4]


def test_mlflow(past_run: RunFolder, tmp_path: Path) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    address = f"sqlite:///{tmp_path / 'm.db'}"
    _feed(past_run, "mlflow", MLFLOW_TRACKING_URI=address)
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("colours")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (past_run.id, "FINISHED")
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(1, 4.0), (2, 2.0), (3, 4 / 3)]
    assert run.data.metrics["score_after/exact_match"] == 0.75
    assert run.data.params["tracking.project"] == "colours"
    _go_on(past_run)
    _feed(past_run, "mlflow", MLFLOW_TRACKING_URI=address)
    (same,) = client.search_runs([experiment.experiment_id])
    assert (same.info.run_id, same.info.status) == (run.info.run_id, "KILLED")
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert sorted(one.step for one in history) == [1, 2, 3, 3, 4]


def test_mlflow_in_a_folder(past_run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    spec = past_run.spec()
    uri = {"tracking_uri": str(tmp_path / "mlruns")}
    asked = spec.model_copy(update={"tracking": spec.tracking.model_copy(update=uri)})
    past_run.spec_file.write_text(dump_spec(asked))
    _feed(past_run, "mlflow")
    (losses,) = (tmp_path / "mlruns").rglob("metrics/train/loss")
    kept = [line.split() for line in losses.read_text().splitlines()]
    assert [(int(step), float(loss)) for _, loss, step in kept] == [(1, 4.0), (2, 2.0), (3, 4 / 3)]


def _records(file: Path) -> Iterator[bytes]:
    """Yield the records of wandb's offline file: LevelDB's log format after seven bytes."""
    data, at, whole = file.read_bytes(), 7, b""
    while at < len(data):
        left = 32_768 - at % 32_768
        if left < 7:  # a header does not fit the block any more
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole record, or its last part
            yield whole
            whole = b""


def _offline_history(file: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return the run's id and figures as they are in wandb's offline file, by its own messages."""
    from wandb.proto import wandb_internal_pb2 as pb

    run_id, figures = "", []
    for data in _records(file):
        record: Any = pb.Record()
        record.ParseFromString(data)
        run_id = record.run.run_id or run_id
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            named = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items}
            figures.append({name: value for name, value in named.items() if name[0] != "_"})
    return run_id, figures


def test_wandb_offline(past_run: RunFolder) -> None:
    pytest.importorskip("wandb")
    secret = "0123456789" * 4
    said = _feed(past_run, "wandb", WANDB_API_KEY=secret)
    kept = list((past_run.path / "tracking" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(kept) == 1
    assert "state finished" in said
    run_id, figures = _offline_history(kept[0])
    assert run_id == past_run.id
    assert figures == [
        {"train/loss": 4.0, "train/grad_norm": 0.5, "step": 1},
        {"train/loss": 2.0, "step": 2},
        {"train/loss": 4 / 3, "train/grad_norm": 0.5, "step": 3},
        {"eval/loss": 1.25, "step": 3},
        {"score_after/exact_match": 0.75, "step": 1},
    ]
    _go_on(past_run)
    _feed(past_run, "wandb", WANDB_API_KEY=secret)
    both = (past_run.path / "tracking" / "wandb").glob("offline-run-*/*.wandb")
    (again,) = [file for file in both if file not in kept]
    run_id, figures = _offline_history(again)
    assert (run_id, [one["step"] for one in figures]) == (past_run.id, [3, 4])
    for file in past_run.path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_trackio(past_run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    place = str(tmp_path / "trackio")
    _feed(past_run, "trackio", TRACKIO_DIR=place)
    _go_on(past_run)
    _feed(past_run, "trackio", TRACKIO_DIR=place)
    asked = (
        "from trackio.sqlite_storage import SQLiteStorage as S; "
        f"print(S.get_runs('colours')); "
        f"print([(log['step'], round(log['train/loss'], 2)) for log in "
        f"S.get_logs('colours', {past_run.id!r}) if 'train/loss' in log])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TRACKIO_DIR": place},
    )
    runs, losses = done.stdout.splitlines()
    assert runs == str([past_run.id])
    assert losses == "[(1, 4.0), (2, 2.0), (3, 1.33), (3, 0.33), (4, 0.25)]"
