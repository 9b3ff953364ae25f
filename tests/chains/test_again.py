"""A stage is taken again with other values, and what was replaced belongs to the chain still."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest import mock

import psutil
import pytest

from tests.chains.conftest import WORK, at_work, end_conductor, ended, wait_until
from tests.chains.test_commands import ftui
from tests.runs.conftest import wait_until as wait_for_run
from tui_ft import paths
from tui_ft.chains import journal, life
from tui_ft.chains.folder import ChainFolder, all_chains, create
from tui_ft.chains.glance import glances
from tui_ft.chains.life import absolute, resume, start
from tui_ft.chains.status import status_of
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.orphans import orphan_of
from tui_ft.runs.registry import list_runs
from tui_ft.spec.chain import load_chain

RATE = ["sft.training.learning_rate=0.001"]


def _rate_of(chain: ChainFolder) -> float:
    return chain.chain().stage("sft").run.training.learning_rate


def test_a_finished_stage_is_redone_with_another_rate_and_all_goes_with_the_chain(
    home: Path, chain_file: Path
) -> None:
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, ended)
    with pytest.raises(RunError, match=r"add `--redo sft` to train it anew with `sft\.training"):
        resume(chain, RATE, worker=WORK)
    onward = resume(chain, RATE, redo=["sft"], worker=WORK)
    assert (onward.stage, onward.run, onward.anew) == ("sft", None, ("sft", "dpo"))
    assert wait_until(chain, ended).state == "finished"
    assert _rate_of(chain) == 0.001
    runs = ["two-sft", "two-sft-2", "two-dpo", "two-dpo-2"]
    rates = [RunFolder(paths.runs_dir() / one).spec().training.learning_rate for one in runs[:2]]
    assert rates[0] != rates[1] == 0.001

    first = RunFolder(paths.runs_dir() / "two-sft")  # by hand, long after it was replaced
    first.spec_file.write_text(first.spec_file.read_text() + "# mine")
    (first.path / "big").write_bytes(b"x" * 7_000_000)
    assert status_of(chain).stages[0].run == "two-sft-2"
    (glance,) = glances(list_runs())
    assert (list(glance.runs), glance.done) == (runs, 2)
    asked = ftui("delete", "two", "--runs")
    assert ", ".join(runs) in asked.output
    assert "7.0" in asked.output and " MB" in asked.output
    gone = json.loads(ftui("delete", "two", "--runs", "--yes", "--json").stdout)["runs"]
    assert gone == runs
    assert not all_folders() and not all_chains()


@pytest.mark.parametrize("killed_at", ["the journal", "the new file"])
def test_killed_while_it_is_changed_a_chain_is_changed_whole_or_not_at_all(
    home: Path, chain_file: Path, killed_at: str
) -> None:
    chain = create(absolute(load_chain(chain_file), Path.cwd()))
    journal.note(chain, [journal.Ended(state="stopped", reason="before stage sft")])
    old = _rate_of(chain)
    dies = mock.Mock(side_effect=KeyboardInterrupt)
    where = (
        mock.patch.object(journal, "note", dies)
        if killed_at == "the journal"
        else mock.patch.object(Path, "replace", autospec=True, side_effect=_but_for_next)
    )
    with mock.patch.object(life, "_start_conductor"):
        with where, pytest.raises(KeyboardInterrupt):
            resume(chain, RATE)
        was_decided = killed_at == "the new file"
        changed = [one for one in journal.read(chain) if isinstance(one, journal.Changed)]
        assert [one.stage for one in changed] == (["sft"] if was_decided else [])
        assert status_of(chain).stages[0].state == "waiting"  # it is read all the same
        onward = resume(chain)
    assert onward.stage == "sft"
    assert _rate_of(chain) == (0.001 if was_decided else old)
    assert not chain.next_file.exists()


_REPLACE = Path.replace


def _but_for_next(self: Path, target: Path) -> Path:
    if self.name == "chain.next.yaml":
        raise KeyboardInterrupt
    return _REPLACE(self, target)


def test_a_chain_without_runs_is_seen(home: Path, chain_file: Path) -> None:
    chain = create(absolute(load_chain(chain_file), Path.cwd()))
    (begins,) = glances([])
    assert (begins.verdict.state, begins.verdict.reason) == ("running", "no run has begun")
    journal.note(chain, [journal.Attended(host="", user="anna", pid=1)])
    journal.note(chain, [journal.Started(stage="sft", run="two-sft")])
    (gone,) = glances([])
    assert gone.verdict.state == "crashed"
    assert gone.verdict.reason.endswith("; no run of it is there any more")
    shutil.rmtree(chain.path)
    assert glances([]) == []


def test_a_worker_that_hangs_without_conductor_and_supervisor_is_reached(
    home: Path, chain_file: Path
) -> None:
    hang = "tests.runs.workers:hang"
    chain = start(load_chain(chain_file), worker=hang)
    wait_until(chain, at_work("sft"))
    run = RunFolder(paths.runs_dir() / "two-sft")
    worker = wait_for_run(run, lambda now: bool(now.worker_pid))
    end_conductor(chain)
    psutil.Process(worker.pid).kill()
    assert wait_until(chain, ended).state == "crashed"
    onward = resume(chain, worker=hang)
    assert (onward.stage, onward.run) == ("sft", "two-sft")
    waiting = wait_until(chain, lambda now: now.stages[0].state == "queued")
    assert f"(process {worker.worker_pid}, without a supervisor since" in waiting.reason
    assert "`ftui kill two-sft` ends it" in waiting.reason

    end_conductor(chain)
    assert "two-sft is told to stop" in ftui("kill", "two").output
    wait_for_run(run, lambda now: not now.is_live)
    assert orphan_of(run) == 0
