"""Trackers get what a run says, and cannot stop it: not one that hangs, nor one that raises."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.runs.conftest import ended, history_of, home, spec, start, wait_until
from tests.runs.workers import STEPS, let_go
from tests.tracking.conftest import HANGS, RAISES, RECORDS, StandIn
from tui_ft.runs import events as ev
from tui_ft.runs.checks.preflight import check
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.runs.reader import read_events
from tui_ft.spec import RunSpec, SpecError, build_spec
from tui_ft.tracking.feeding import feed
from tui_ft.tracking.tracker import About

__all__ = ["home", "spec", "start"]  # fixtures


def _tracked(plain: RunSpec, *names: str) -> RunSpec:
    tracking = plain.tracking.model_copy(update={"report_to": list(names)})
    return plain.model_copy(update={"tracking": tracking})


def _warned(folder: RunFolder) -> list[str]:
    return [event.text for event in read_events(folder) if isinstance(event, ev.Alert)]


def _feeding(folder: RunFolder) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"tui_ft.tracking", str(folder.path)} <= set(process.info["cmdline"] or ())
    ]


def test_figures_arrive_by_step_and_what_was_said_of_the_run(
    past_run: RunFolder, stand_in: StandIn
) -> None:
    stand_in.write("trackio", RECORDS)
    assert feed(past_run.path, "trackio", 60) == 0
    (init,) = stand_in.recorded("init")
    assert init["init"]["project"] == "colours"
    assert init["init"]["name"] == past_run.id
    assert init["init"]["config"]["model"]["name_or_path"] == "m"
    logged = [(line["step"], line["log"]) for line in stand_in.recorded("log")]
    assert logged == [
        (1, {"train/loss": 4.0, "train/grad_norm": 0.5}),
        (2, {"train/loss": 2.0}),
        (3, {"train/loss": 4 / 3, "train/grad_norm": 0.5}),
        (3, {"eval/loss": 1.25}),
        (1, {"score_after/exact_match": 0.75}),
    ]
    assert len(stand_in.recorded("finish")) == 1


def test_a_resumed_run_goes_on_where_it_was(past_run: RunFolder, stand_in: StandIn) -> None:
    stand_in.write("trackio", RECORDS)
    assert feed(past_run.path, "trackio", 60) == 0
    journal = Journal(past_run)
    journal.write(ev.Attempt(number=2, host="h", user="u", pid=0, step=2))
    journal.write(ev.Metrics(step=3, epoch=0.1, values={"loss": 1.0}))
    journal.write(ev.Ended(state="stopped", reason="as asked"))
    journal.close()
    assert feed(past_run.path, "trackio", 60) == 0
    assert [line["step"] for line in stand_in.recorded("log")] == [1, 2, 3, 3, 1, 3]
    assert len(stand_in.recorded("init")) == 2


def test_one_that_hangs_and_one_that_raises_change_nothing_of_the_run(
    home: Path, spec: RunSpec, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui_ft.runs.launch import launch

    monkeypatch.setenv("WANDB_API_KEY", "a-key-that-is-nobodys")
    stand_in.write("wandb", HANGS)
    stand_in.write("trackio", RAISES)
    folder = launch(_tracked(spec, "wandb", "trackio"), worker="tests.runs.workers:train_when_let")
    try:
        # A Python that starts takes its time: both trackers have come to what is wrong with them.
        wait_until(folder, lambda _: any("trackio" in text for text in _warned(folder)))
        niced = min(19, os.nice(0) + 10)
        wait_until(folder, lambda _: [one.nice() for one in _feeding(folder)] == [niced])
        let_go(folder)
        summary = wait_until(folder, ended)
        assert (summary.state, summary.reason) == ("finished", "all steps done")
        assert history_of(folder).series("loss").x == list(range(1, STEPS + 1))
        assert len(_feeding(folder)) == 1  # the run was over before it: nobody has waited
        warned = _warned(folder)
        assert "trackio no longer gets the run's figures: OSError: no route to its server" in warned
        assert not any("wandb" in text for text in warned)
        for file in folder.path.rglob("*"):
            if file.is_file():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                assert b"a-key-that-is-nobodys" not in file.read_bytes()
    finally:
        for process in _feeding(folder):
            process.send_signal(signal.SIGKILL)


def test_one_that_does_not_answer_is_given_up(past_run: RunFolder, stand_in: StandIn) -> None:
    stand_in.write("wandb", HANGS)
    done = subprocess.run(
        [sys.executable, "-m", "tui_ft.tracking", str(past_run.path), "wandb", "--patience", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=dict(os.environ),
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "wandb has not answered for 1 s"


def test_wandb_is_told_all_that_it_has_to_know(past_run: RunFolder, stand_in: StandIn) -> None:
    stand_in.write("wandb", RECORDS)
    assert feed(past_run.path, "wandb", 60) == 0
    (init,) = stand_in.recorded("init")
    asked = init["init"]
    assert (asked["id"], asked["resume"], asked["mode"]) == (past_run.id, "allow", "offline")
    assert Path(asked["dir"]) == past_run.path / "tracking"
    assert stand_in.recorded("log")[0]["log"]["step"] == 1  # its own steps never go back
    assert stand_in.recorded("finish") == [{"finish": 0, "summary": {"state": "finished"}}]


def test_one_that_is_not_installed_is_told_of_and_left_out(spec: RunSpec, tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("it is installed")
    (found,) = [f for f in check(_tracked(spec, "wandb"), tmp_path) if f.severity == "warning"]
    assert "wandb, which is not installed: it will get no figures" in found.text
    assert found.advice == "pip install 'tui-ft[wandb]'"


@pytest.mark.parametrize(
    ("tracking", "said"),
    [
        ({"report_to": ["wandb", "wandb"]}, "named twice"),
        ({"report_to": ["wndb"]}, "allowed: tensorboard, wandb, mlflow or trackio"),
        ({"tracking_uri": "https://me:secret@host"}, "holds a password"),
    ],
)
def test_faults_are_told(tracking: dict[str, object], said: str) -> None:
    values = {"model": {"name_or_path": "m"}, "data": {"train": "d"}, "tracking": tracking}
    with pytest.raises(SpecError, match=said):
        build_spec(values)


def test_parameters_are_flat(past_run: RunFolder) -> None:
    spec = past_run.spec()
    about = About("r", spec.model_dump(mode="json"), past_run.path, spec.tracking)
    flat = about.parameters()
    assert flat["training.learning_rate"] == 2e-4
    assert flat["method.kind"] == "lora"
    assert "training.max_steps" not in flat  # nothing was said
