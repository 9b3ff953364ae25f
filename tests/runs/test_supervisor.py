from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.runs.conftest import (
    ROOT,
    Start,
    ended,
    history_of,
    steps_done,
    supervisor_of,
    wait_until,
)
from tests.runs.workers import STEPS, let_go
from tui_ft.runs import control
from tui_ft.runs import events as ev
from tui_ft.runs import folder as folders
from tui_ft.runs.folder import RunError, create, delete
from tui_ft.runs.launch import launch, resume
from tui_ft.runs.reader import read_events
from tui_ft.runs.registry import list_runs
from tui_ft.runs.worker_process import Assignment, start_worker
from tui_ft.spec import RunSpec

WORKER = "tests.runs.workers:train"


def test_a_run_finishes_and_its_last_event_says_so(start: Start) -> None:
    folder = start("short")
    summary = wait_until(folder, ended)
    assert (summary.state, summary.reason) == ("finished", "all steps done")
    events = list(read_events(folder))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], ev.Attempt)
    assert isinstance(events[-1], ev.Ended)
    assert history_of(folder).series("loss").y == [None]  # NaN is a gap, never a number


def test_every_figure_sent_in_a_burst_arrives_in_order(start: Start) -> None:
    folder = start("many")
    wait_until(folder, ended)
    assert history_of(folder).series("loss").y == [float(step) for step in range(1, 5_001)]


def test_files_are_private_and_the_environment_is_recorded(start: Start, spec: RunSpec) -> None:
    folder = start("short")
    wait_until(folder, ended)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.path.iterdir() if p.is_file()}
    assert set(modes.values()) == {0o600}, modes
    facts = json.loads(folder.environment_file.read_text())
    assert facts["libraries"]["torch"].startswith("2.")
    assert folder.spec() == spec


def test_stop_saves_first_and_resume_goes_on_from_there(start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 5))
    control.request_stop(folder)
    stopped = wait_until(folder, ended)
    assert stopped.state == "stopped"
    saved = folder.checkpoints()[-1][0]
    with pytest.raises(RunError, match="not running"):
        control.request_stop(folder)
    resume(folder, worker=WORKER)
    finished = wait_until(folder, ended)
    assert (finished.state, finished.attempt) == ("finished", 2)
    history = history_of(folder)
    assert history.attempt is not None
    assert history.attempt.step == saved
    assert history.series("loss").x == list(range(1, STEPS + 1))
    with pytest.raises(RunError, match="has finished"):
        resume(folder, worker=WORKER)


def test_checkpoint_now_does_not_stop(start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    control.request_checkpoint(folder)
    wait_until(folder, lambda _: bool(folder.checkpoints()))
    let_go(folder)
    assert wait_until(folder, ended).state == "finished"


def test_a_run_that_still_prepares_stops_at_once(start: Start) -> None:
    folder = start("slow_start")
    wait_until(
        folder, lambda _: (history_of(folder).phase or ev.Phase(phase="wait")).phase == "load"
    )
    control.request_stop(folder)
    summary = wait_until(folder, ended)
    assert summary.state == "stopped"
    assert "before training began" in summary.reason


def test_kill_ends_it_without_a_checkpoint(start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    control.request_kill(folder)
    summary = wait_until(folder, ended)
    assert summary.state == "stopped"
    assert summary.reason.startswith("killed by ")
    assert not folder.checkpoints()


def test_a_killed_worker_is_told_as_such(start: Start) -> None:
    folder = start("vanish")
    summary = wait_until(folder, ended)
    assert summary.state == "crashed"
    assert "signal 9 (SIGKILL)" in summary.reason
    assert any("resume from step 3" in advice for advice in summary.advice)


def test_a_worker_that_leaves_without_a_word(start: Start) -> None:
    folder = start("leave")
    summary = wait_until(folder, ended)
    assert summary.state == "crashed"
    assert "exit code 3" in summary.reason
    ending = history_of(folder).ended
    assert ending is not None
    assert ending.detail is not None
    assert ending.detail.endswith("last words")  # and no escape sequence
    assert "\x1b" not in ending.detail


def test_a_killed_supervisor_leaves_a_crashed_run_and_a_saved_checkpoint(start: Start) -> None:
    folder = start("wait_for_orphanhood")
    wait_until(folder, steps_done(folder, 3))
    os.kill(supervisor_of(folder), signal.SIGKILL)
    crashed = wait_until(folder, ended)
    assert crashed.state == "crashed"
    assert "supervisor" in crashed.reason
    note = folder.path / "orphaned"
    wait_until(folder, lambda _: note.exists() and bool(note.read_text()))
    assert note.read_text() == "True"
    ((saved, _),) = folder.checkpoints()
    resume(folder, worker="tests.runs.workers:wait_for_orphanhood")  # it has no end of its own
    after = wait_until(folder, lambda now: now.state == "training")
    assert after.attempt == 2
    attempt = history_of(folder).attempt
    assert attempt is not None
    assert attempt.step == saved


def test_what_an_orphan_saves_is_waited_for(start: Start) -> None:
    folder = start("save_slowly")
    wait_until(folder, steps_done(folder, 3))
    os.kill(supervisor_of(folder), signal.SIGKILL)
    wait_until(folder, ended)
    resume(folder, worker="tests.runs.workers:save_slowly")
    waits = wait_until(folder, lambda s: s.state == "queued")  # it is still saving
    assert waits.reason.startswith("waits for the worker of the attempt before")
    let_go(folder)
    summary = wait_until(folder, lambda s: s.state == "finished")
    assert summary.attempt == 2
    attempt = history_of(folder).attempt
    assert attempt is not None
    assert attempt.step == 5_000


def test_a_torn_line_costs_that_line_alone(start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 5))
    control.request_stop(folder)
    wait_until(folder, ended)
    with folder.events_file.open("ab") as file:
        file.write(b'{"type":"metrics","seq":99999,"step":7')
    resume(folder, worker=WORKER)
    assert wait_until(folder, ended).state == "finished"
    assert history_of(folder).series("loss").x == list(range(1, STEPS + 1))


def test_the_run_outlives_the_process_that_started_it_and_its_terminal(
    home: Path, spec: RunSpec, tmp_path: Path
) -> None:
    program = (
        "import sys, os, signal; from pathlib import Path;"
        "from tui_ft.spec import load_spec; from tui_ft.runs.launch import launch;"
        f"launch(load_spec(Path(sys.argv[1])), worker='{WORKER}_when_let');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    from tui_ft.spec import dump_spec

    (tmp_path / "run.yaml").write_text(dump_spec(spec))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run.yaml")], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    from tui_ft.runs.folder import find

    folder = find("support")
    supervisor = wait_until(folder, lambda s: bool(s.pid)).pid
    os.kill(supervisor, signal.SIGHUP)  # the terminal is closed
    assert os.getsid(supervisor) == supervisor
    let_go(folder)
    assert wait_until(folder, ended).state == "finished"


def test_what_a_worker_leaves_behind_ends_with_it(start: Start) -> None:
    """It would hold the worker's lock, for which the next attempt waits."""
    folder = start("leaves_a_child")
    assert wait_until(folder, ended).state == "finished"
    child = int((folder.path / "child").read_text())
    wait_until(folder, lambda _: _is_gone(child))


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_sigterm_to_the_supervisor_is_a_stop(start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    os.kill(supervisor_of(folder), signal.SIGTERM)
    assert wait_until(folder, ended).state == "stopped"
    assert folder.checkpoints()


def test_a_missing_file_ends_the_run_before_any_worker(start: Start, spec: RunSpec) -> None:
    data = spec.data.model_copy(update={"train": "/nowhere/data.jsonl"})
    folder = start("train", spec.model_copy(update={"data": data}))
    summary = wait_until(folder, ended)
    assert summary.state == "failed"
    assert "/nowhere/data.jsonl" in summary.reason
    assert not folder.worker_log.exists()


def test_a_run_at_work_cannot_be_deleted_or_started_twice(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = start("train_when_let")
    with monkeypatch.context() as patched:
        patched.setattr(folders, "ENDING_SECONDS", 0.1)
        with pytest.raises(RunError, match="still running"):
            delete(folder)
    with pytest.raises(RunError, match="already"):
        resume(folder, worker=WORKER)
    control.request_kill(folder)
    wait_until(folder, ended)
    delete(folder)
    assert not folder.path.exists()


def test_runs_of_one_name_get_folders_of_their_own_and_are_listed_live_first(
    start: Start, spec: RunSpec
) -> None:
    first, second = start("short"), start("train_when_let")
    assert (first.id, second.id) == ("support", "support-2")
    wait_until(first, ended)
    assert [run.id for run in list_runs()] == ["support-2", "support"]


def test_the_supervisor_stays_light(start: Start) -> None:
    folder = start("train_when_let")
    wait_until(folder, steps_done(folder, 3))
    supervisor = supervisor_of(folder)
    maps = Path(f"/proc/{supervisor}/maps").read_text()
    assert "libtorch" not in maps
    assert psutil.Process(supervisor).memory_info().rss < 150e6


def test_relative_paths_are_frozen_as_absolute(
    home: Path, spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = spec.data.model_copy(update={"train": "data.jsonl"})
    model = spec.model.model_copy(update={"name_or_path": "model"})
    folder = launch(
        spec.model_copy(update={"data": data, "model": model}), worker="tests.runs.workers:short"
    )
    assert folder.spec().data.train == str(tmp_path / "data.jsonl")
    assert folder.spec().model.name_or_path == str(tmp_path / "model")
    wait_until(folder, ended)


def test_a_full_disk_takes_lines_from_a_log_and_no_run(home: Path, spec: RunSpec) -> None:
    folder = create(spec)
    folder.worker_log.symlink_to("/dev/full")
    worker = start_worker(Assignment("tests.runs.workers:talk", folder.path))
    said = []
    while worker.events.poll(120):
        try:
            said.append(ev.decode(worker.events.recv_bytes()))
        except EOFError:
            break
    worker.process.join(120)
    assert worker.process.exitcode == 0
    assert isinstance(said[-1], ev.Ended)
