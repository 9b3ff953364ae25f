"""A chain goes from run to run by itself, and is taken up again wherever it ended."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.chains.conftest import WORK, LetGo, at_work, end_conductor, ended, wait_until
from tests.chains.workers import STEPS
from tests.runs.conftest import wait_until as wait_for_run
from tui_ft import paths
from tui_ft.chains import journal
from tui_ft.chains.check import check_chain
from tui_ft.chains.folder import ChainFolder, find
from tui_ft.chains.life import absolute, resume, start, stop
from tui_ft.chains.status import status_of
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.place import read_place
from tui_ft.runs.registry import list_runs, summary_of
from tui_ft.spec import SpecError
from tui_ft.spec.chain import load_chain


def _start(file: Path, worker: str = WORK) -> ChainFolder:
    return start(load_chain(file), worker=worker)


def _run(name: str) -> RunFolder:
    return RunFolder(paths.runs_dir() / name)


def _began(name: str) -> list[int]:
    """Return at which steps the attempts of a run began to train."""
    return [int(line) for line in (_run(name).path / "began").read_text().split()]


def test_each_stage_takes_what_the_one_before_left(home: Path, chain_file: Path) -> None:
    chain = _start(chain_file)
    status = wait_until(chain, ended)
    assert (status.state, [one.state for one in status.stages]) == ("finished", ["finished"] * 2)
    assert [one.run for one in status.stages] == ["two-sft", "two-dpo"]
    assert status.stages[1].takes == ("sft",)
    assert _run("two-dpo").spec().model.name_or_path == str(_run("two-sft").path / "adapter")
    assert [str(read_place(_run(f"two-{name}").path)) for name in ("sft", "dpo")] == [
        "two 1/2 sft",
        "two 2/2 dpo",
    ]
    assert {run.id: run.place for run in list_runs()} == {
        "two-sft": "two 1/2 sft",
        "two-dpo": "two 2/2 dpo",
    }
    with pytest.raises(RunError, match="nothing left to do"):
        resume(chain)


def test_killed_in_the_middle_it_hurts_no_run_and_goes_on(
    home: Path, chain_file: Path, let_go: LetGo
) -> None:
    let_go("two-sft")
    chain = _start(chain_file)
    wait_until(chain, at_work("dpo", 3))
    end_conductor(chain)
    status = status_of(chain)
    assert status.state == "crashed"
    assert "ftui chain resume two" in status.advice[0]
    assert summary_of(_run("two-dpo")).is_live  # it has a supervisor of its own
    resume(chain, worker=WORK)
    let_go("two-dpo")
    assert wait_until(chain, ended).state == "finished"
    assert (_began("two-sft"), _began("two-dpo")) == ([0], [0])  # nothing was done twice
    assert len(all_folders()) == 2


def test_a_run_started_as_its_process_was_killed_is_found(
    home: Path, chain_file: Path, let_go: LetGo
) -> None:
    chain = _start(chain_file)
    wait_until(chain, at_work("sft"))
    end_conductor(chain)
    # As if it had been killed between the start of the run and its line in the journal.
    lines = chain.events_file.read_bytes().splitlines(keepends=True)
    chain.events_file.write_bytes(b"".join(line for line in lines if b'"started"' not in line))
    assert status_of(chain).stages[0].run == "two-sft"
    resume(chain, worker=WORK)
    let_go("two-sft", "two-dpo")
    assert wait_until(chain, ended).state == "finished"
    assert sorted(run.id for run in all_folders()) == ["two-dpo", "two-sft"]


def test_stopped_it_goes_on_from_the_checkpoint(
    home: Path, chain_file: Path, let_go: LetGo
) -> None:
    chain = _start(chain_file)
    wait_until(chain, at_work("sft", 3))
    assert "saves a checkpoint" in stop(chain)
    status = wait_until(chain, ended)
    assert (status.state, status.stages[1].state) == ("stopped", "waiting")
    assert "ftui chain resume two" in status.advice[0]
    saved = _run("two-sft").checkpoints()[-1][0]
    assert 0 < saved < STEPS
    let_go("two-sft", "two-dpo")
    resume(chain, worker=WORK)
    assert wait_until(chain, ended).state == "finished"
    assert _began("two-sft") == [0, saved]


@pytest.mark.usefixtures("let_go")
def test_a_stop_reaches_a_run_whose_chain_has_no_process(home: Path, chain_file: Path) -> None:
    chain = _start(chain_file)
    wait_until(chain, at_work("sft", 2))
    end_conductor(chain)
    assert "two-sft is told to stop" in stop(chain)
    assert wait_for_run(_run("two-sft"), lambda run: not run.is_live).state == "stopped"
    with pytest.raises(RunError, match="not at work"):
        stop(chain)


def test_a_stage_that_failed_is_changed_and_begins_anew(home: Path, chain_file: Path) -> None:
    worker = "tests.chains.workers:work_but_for_dpo"
    chain = _start(chain_file, worker)
    status = wait_until(chain, ended)
    assert status.state == "failed"
    assert "stage dpo (two-dpo) failed: the GPU is out of memory" in status.reason
    with pytest.raises(RunError, match="stage sft has finished"):
        resume(chain, ["sft.training.max_steps=3"], worker=worker)
    with pytest.raises(SpecError, match="unknown key"):
        resume(chain, ["dpo.training.batch=1"], worker=worker)
    resume(chain, ["dpo.training.per_device_train_batch_size=1"], worker=worker)
    status = wait_until(chain, ended)
    assert (status.state, status.stages[1].run) == ("finished", "two-dpo-2")
    assert _began("two-sft") == [0]
    assert _run("two-dpo-2").spec().training.max_length == 512  # what was set before holds


@pytest.mark.usefixtures("let_go")
def test_two_processes_never_share_a_chain(home: Path, chain_file: Path) -> None:
    chain = _start(chain_file)
    wait_until(chain, at_work("sft"))
    with pytest.raises(RunError, match="at work"):
        resume(chain, worker=WORK)
    stop(chain, now=True)
    assert wait_until(chain, ended).state == "stopped"


@pytest.mark.usefixtures("let_go")
def test_its_folder_is_private_and_names_are_found(home: Path, chain_file: Path) -> None:
    first = _start(chain_file)
    assert find("tw").id == first.id
    for place in (first.path, *first.path.iterdir()):
        wanted = 0o700 if place.is_dir() else 0o600
        assert stat.S_IMODE(place.stat().st_mode) == wanted, place
    stop(first, now=True)
    wait_until(first, ended)
    with pytest.raises(RunError, match="there is no chain `nobody`"):
        find("nobody")


def test_runs_of_a_deleted_chain_of_the_same_name_are_not_taken(
    home: Path, chain_file: Path
) -> None:
    chain = _start(chain_file)
    wait_until(chain, ended)
    for file in chain.path.iterdir():
        file.unlink()
    chain.path.rmdir()
    again = _start(chain_file)
    status = wait_until(again, ended)
    assert again.id == chain.id
    assert [one.run for one in status.stages] == ["two-sft-2", "two-dpo-2"]


def test_every_stage_is_looked_at_before_anything_starts(home: Path, chain_file: Path) -> None:
    chain = absolute(load_chain(chain_file), Path.cwd())
    sound = check_chain(chain)
    assert [(one.stage, one.is_refused) for one in sound] == [("sft", False), ("dpo", False)]
    assert "begins with what stage sft leaves" in sound[1].findings[0].text
    Path("pairs.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 30)
    bad = check_chain(chain)
    assert [one.is_refused for one in bad] == [False, True]
    assert not all_folders()


def test_a_torn_journal_is_read_as_far_as_it_goes(home: Path, chain_file: Path) -> None:
    chain = _start(chain_file)
    wait_until(chain, ended)
    whole = journal.read(chain)
    with chain.events_file.open("ab") as file:
        file.write(b'{"type":"of a newer ftui"}\n{"type":"star')
    assert journal.read(chain) == whole
