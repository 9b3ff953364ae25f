from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from pathlib import Path

import msgspec
import pytest

from tui_ft import paths
from tui_ft.runs import events as ev
from tui_ft.runs import removing
from tui_ft.runs.changes import ChangedError, refuse_unless_told
from tui_ft.runs.folder import RunError, RunFolder, create, delete, exactly, find
from tui_ft.runs.journal import Journal
from tui_ft.runs.launch import resume
from tui_ft.runs.registry import list_runs, summarise, summary_of
from tui_ft.spec import RunSpec


def _made(spec: RunSpec, *events: ev.Event, host: str | None = None) -> RunFolder:
    folder = create(spec)
    journal = Journal(folder)
    attempt = ev.Attempt(number=1, host=host or socket.gethostname(), user="anna", pid=1, t=50.0)
    for event in (attempt, *events):
        journal.write(event)
    journal.close()
    return folder


def _write_status(folder: RunFolder, heartbeat: float) -> None:
    from tui_ft.runs.reader import RunReader

    summary = summarise(folder.id, RunReader(folder).catch_up())
    status = msgspec.structs.replace(summary, heartbeat=heartbeat)
    paths.write_atomically(folder.status_file, msgspec.json.encode(status))


def test_an_ended_run_needs_no_supervisor(home: Path, spec: RunSpec) -> None:
    folder = _made(spec, ev.Ended(state="finished", reason="all steps done"))
    assert summary_of(folder).state == "finished"


def test_no_end_and_no_supervisor_is_a_crash_with_what_to_do(home: Path, spec: RunSpec) -> None:
    folder = _made(spec, ev.Phase(phase="train"))
    saved = folder.checkpoints_dir / "checkpoint-40"
    saved.mkdir(parents=True)
    summary = summary_of(folder)
    assert summary.state == "crashed"
    assert "starts it again" in summary.advice[0]  # a checkpoint half written is none
    (saved / "trainer_state.json").write_text("{}")
    assert "from step 40" in summary_of(folder).advice[0]


def test_a_run_that_ends_while_it_is_looked_at_is_no_crash(
    home: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _made(spec, ev.Phase(phase="train"))
    _write_status(folder, time.time())

    def ends(self: RunFolder) -> bool:
        journal = Journal(folder)
        journal.write(ev.Ended(state="failed", reason="no such figure"))
        journal.close()
        return False

    monkeypatch.setattr(RunFolder, "is_attended", ends)
    found = summary_of(folder)
    assert (found.state, found.reason) == ("failed", "no such figure")


def test_on_another_host_the_heartbeat_tells(home: Path, spec: RunSpec) -> None:
    folder = _made(spec, ev.Phase(phase="train"), host="gpu02")
    now = time.time()
    _write_status(folder, now - 5)
    assert summary_of(folder).state == "training"
    _write_status(folder, now - 500)
    # Its heartbeat is late: what it has written a moment ago is seen all the same.
    assert summary_of(folder).state == "training"
    os.utime(folder.events_file, (now - 40, now - 40))
    silent = summary_of(folder, now)
    assert (silent.state, silent.reason) == (
        "training",
        "runs on gpu02 (seen 40s ago by its heartbeat)",
    )
    with pytest.raises(RunError, match=r"already training on gpu02 \(seen .* ago by"):
        resume(folder)
    with pytest.raises(RunError, match=r"still training on gpu02 .*: stop it first"):
        removing.delete(folder, anyway=True)
    os.utime(folder.events_file, (now - 500, now - 500))
    assert summary_of(folder).state == "crashed"
    assert "gpu02" in summary_of(folder).reason


def test_what_another_host_left_unsaid_is_taken_up_and_removed_only_when_told(
    home: Path, spec: RunSpec
) -> None:
    folder = _made(spec, ev.Phase(phase="train"), host="gpu02")
    long_ago = time.time() - 500
    _write_status(folder, long_ago)
    os.utime(folder.events_file, (long_ago, long_ago))
    with pytest.raises(ChangedError, match=r"the host was gpu02 \(seen 8m ago") as error:
        resume(folder)
    assert error.value.can_be_told
    assert refuse_unless_told(folder, anyway=True)[0].what == "the host"
    with pytest.raises(RunError, match="`ftui delete support --anyway` removes it"):
        removing.delete(folder)
    removing.delete(folder, anyway=True)
    assert not folder.path.exists()
    said = _made(spec, ev.Ended(state="crashed", reason="the worker was killed"), host="gpu02")
    assert refuse_unless_told(said, anyway=False) == ()  # it is over: any host may go on
    removing.delete(said)


def test_a_damaged_status_is_made_anew_from_the_events(home: Path, spec: RunSpec) -> None:
    folder = _made(spec, ev.Ended(state="failed", reason="why"))
    folder.status_file.write_text("{half")
    assert summary_of(folder).reason == "why"


def test_a_run_just_launched_is_not_taken_for_crashed(home: Path, spec: RunSpec) -> None:
    folder = create(spec)
    assert summary_of(folder).state == "queued"
    past = time.time() - 3_600
    os.utime(folder.spec_file, (past, past))
    assert summary_of(folder).state == "crashed"


def test_runs_are_found_by_the_beginning_of_their_name(home: Path, spec: RunSpec) -> None:
    for name in ("alpha", "alphabet", "beta"):
        create(spec.model_copy(update={"name": name}))
    assert find("alpha").id == "alpha"
    assert find("be").id == "beta"
    with pytest.raises(RunError, match="alpha, alphabet"):
        find("alph")
    with pytest.raises(RunError, match="there is no run `gamma`"):
        find("gamma")


def test_a_foreign_folder_among_the_runs_is_passed_over(home: Path, spec: RunSpec) -> None:
    _made(spec, ev.Ended(state="finished", reason="done"))
    (paths.runs_dir() / "lost+found").mkdir()
    (paths.runs_dir() / "notes.txt").write_text("hello")
    assert [run.id for run in list_runs()] == ["support"]


def test_what_is_done_to_a_run_never_hits_one_whose_name_begins_alike(
    home: Path, spec: RunSpec
) -> None:
    first, second = create(spec), create(spec)
    assert second.id.startswith(first.id)
    assert exactly(first.id) == first
    shutil.rmtree(first.path)
    assert find(first.id) == second
    with pytest.raises(RunError, match="not there any more"):
        exactly(first.id)


def test_a_run_that_is_just_being_deleted_breaks_no_list(home: Path, spec: RunSpec) -> None:
    folder = create(spec)
    folder.spec_file.unlink()
    assert summary_of(folder).state == "crashed"


def test_a_run_whose_worker_still_saves_is_not_deleted_under_it(home: Path, spec: RunSpec) -> None:
    folder = create(spec)
    with folder.worker_lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="its worker still saves"):
            delete(folder)
        assert folder.spec_file.is_file()
    delete(folder)
    assert not folder.path.exists()


def test_the_lock_goes_when_nobody_has_it_open_as_nfs_asks(
    home: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = create(spec), shutil.rmtree
    (folder.path / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    left: list[list[str]] = []

    def remove(path: Path) -> None:
        if path == folder.path:
            assert not folder.is_attended()
            left.append([one.name for one in path.iterdir()])
        whole(path)

    monkeypatch.setattr(shutil, "rmtree", remove)
    delete(folder)
    assert left == [["lock"]]
    assert not folder.path.exists()


def test_a_renamed_or_copied_folder_is_listed_by_its_own_name(home: Path, spec: RunSpec) -> None:
    folder = _made(spec, ev.Ended(state="stopped", reason="as asked"))
    _write_status(folder, time.time())
    shutil.copytree(folder.path, folder.path.with_name("copy"))
    folder.path.rename(folder.path.with_name("renamed"))
    assert sorted(run.id for run in list_runs()) == ["copy", "renamed"]


def test_the_step_of_a_saved_checkpoint_was_done(home: Path, spec: RunSpec) -> None:
    saved = ev.Checkpoint(step=399, path="checkpoints/checkpoint-399", bytes=1, seconds=0.1)
    progress = ev.Progress(step=342, total_steps=3000, epoch=0.0)
    folder = _made(spec, progress, saved, ev.Ended(state="stopped", reason="as asked"))
    assert (summary_of(folder).step, summary_of(folder).total_steps) == (399, 3000)
