"""The trackers themselves, where they are installed: what they are fed is what they hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tui_ft.runs.folder import RunFolder


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


def test_tensorboard(past_run: RunFolder) -> None:
    accumulator: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _feed(past_run, "tensorboard")
    read = accumulator.EventAccumulator(str(past_run.path / "tracking" / "tensorboard"))
    read.Reload()
    losses = [(one.step, one.value) for one in read.Scalars("train/loss")]
    assert losses == [(1, 4.0), (2, 2.0), (3, pytest.approx(4 / 3))]
    assert [one.step for one in read.Scalars("train/grad_norm")] == [1, 3]
    assert [one.value for one in read.Scalars("eval/loss")] == [1.25]


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


def test_wandb_offline(past_run: RunFolder) -> None:
    pytest.importorskip("wandb")
    secret = "0123456789" * 4
    said = _feed(past_run, "wandb", WANDB_API_KEY=secret)
    kept = list((past_run.path / "tracking" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(kept) == 1
    assert "state finished" in said
    for file in past_run.path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_trackio(past_run: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    place = str(tmp_path / "trackio")
    _feed(past_run, "trackio", TRACKIO_DIR=place)
    asked = (
        "from trackio.sqlite_storage import SQLiteStorage as S; "
        f"print([log.get('train/loss') for log in S.get_logs('colours', {past_run.id!r})])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TRACKIO_DIR": place},
    )
    assert done.stdout.startswith("[4.0, 2.0, 1.33")
