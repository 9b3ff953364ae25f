"""A worker that has lost its supervisor and hangs is named and ended; a reused number is not."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path
from unittest import mock

import psutil
import pytest
from click.testing import CliRunner, Result

from tests.runs.conftest import Start, ended, history_of, wait_until
from tui_ft.cli import main
from tui_ft.runs import orphans
from tui_ft.runs.folder import RunError, RunFolder, create
from tui_ft.runs.launch import resume
from tui_ft.runs.orphans import end_orphan, orphan_of
from tui_ft.runs.registry import summary_of
from tui_ft.runs.worker_process import Assignment, start_worker
from tui_ft.spec import RunSpec

HANG = "tests.runs.workers:hang"


def ftui(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_worker_that_hangs_without_a_supervisor_is_named_and_ended(start: Start) -> None:
    folder = start("hang")
    live = wait_until(folder, lambda now: bool(now.worker_pid) and now.state == "training")
    os.kill(live.pid, signal.SIGKILL)
    crashed = wait_until(folder, ended)
    assert (crashed.state, crashed.orphan) == ("crashed", live.worker_pid)
    assert f"process {live.worker_pid}, without a supervisor since 2" in crashed.advice[0]
    assert "`ftui kill support` ends it" in crashed.advice[0]
    assert "`ftui kill support` ends it" in ftui("stop", "support").output
    assert "`ftui kill support` ends it" in ftui("delete", "support", "--yes").output

    resume(folder, worker=HANG)  # waits for it, and says so
    queued = wait_until(folder, lambda now: now.state == "queued")
    assert f"(process {live.worker_pid}, without a supervisor since 2" in queued.reason
    assert json.loads(ftui("kill", "support", "--json").stdout)["command"] == "kill"
    killed = wait_until(folder, ended)
    assert (killed.state, killed.reason.split()[0], killed.orphan) == ("stopped", "killed", 0)
    assert orphan_of(folder) == 0

    resume(folder, worker=HANG)
    assert wait_until(folder, ended).state == "finished"


def test_without_anybody_who_waits_kill_reaches_it_all_the_same(start: Start) -> None:
    folder = start("hang")
    live = wait_until(folder, lambda now: bool(now.worker_pid) and now.state == "training")
    os.kill(live.pid, signal.SIGKILL)
    wait_until(folder, ended)
    assert ftui("kill", "support").output == "support is ended at once\n"
    after = summary_of(folder)
    assert (after.state, after.orphan) == ("crashed", 0)
    assert "it is crashed" in ftui("kill", "support").output


def test_a_worker_is_known_from_its_first_moment(home: Path, spec: RunSpec) -> None:
    """A supervisor may be killed before its worker has come to its first line."""
    folder = create(spec)
    folder.worker_lock.write_text("4194305")  # of the attempt before
    worker = start_worker(Assignment("tests.runs.workers:slow_start", folder.path))
    try:
        assert orphan_of(folder) == worker.process.pid
        assert end_orphan(folder) == worker.process.pid
        worker.process.join(120)
        assert worker.process.exitcode == -signal.SIGKILL
        assert orphan_of(folder) == 0
    finally:
        worker.kill()


def test_the_status_names_the_worker_before_it_says_a_word(start: Start) -> None:
    folder = start("slow_start")
    wait_until(folder, lambda _: getattr(history_of(folder).phase, "phase", "") == "load")
    assert summary_of(folder).worker_pid == orphan_of(folder)


def test_a_process_that_only_has_the_number_is_left_alone(
    home: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_LOOK_SECONDS", 0.1)
    folder = create(spec)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        folder.worker_lock.write_text(str(other.pid))
        with folder.worker_lock.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert orphan_of(folder) == other.pid
            with pytest.raises(RunError, match="is not found on this machine"):
                end_orphan(folder)
        assert other.poll() is None
        other.kill()


def test_a_worker_that_goes_just_before_it_is_killed_is_no_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.worker_lock.write_text("4194305")  # above any number that Linux gives
    with folder.worker_lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def goes(_leader: int) -> list[psutil.Process]:
            fcntl.flock(held, fcntl.LOCK_UN)
            return []

        with mock.patch("tui_ft.runs.orphans._group", goes):
            assert end_orphan(folder) == 4194305
