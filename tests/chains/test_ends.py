"""What befalls chains: data that change, outputs that vanish, machines that go down, full disks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.chains.conftest import (
    WORK,
    LetGo,
    at_work,
    conductor_of,
    end_conductor,
    ended,
    wait_until,
)
from tests.chains.test_commands import ftui
from tests.runs.conftest import ROOT, end_run
from tests.runs.conftest import wait_until as wait_for_run
from tui_ft import paths
from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder, all_chains, find
from tui_ft.chains.glance import glances
from tui_ft.chains.life import delete, resume, start, stop
from tui_ft.chains.status import status_of
from tui_ft.cli import main
from tui_ft.commands.output import for_people
from tui_ft.runs.background import start_in_background
from tui_ft.runs.changes import ChangedError
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.folder import delete as delete_run
from tui_ft.runs.launch import resume as resume_run
from tui_ft.runs.registry import list_runs
from tui_ft.spec.chain import load_chain

BUT_FOR_DPO = "tests.chains.workers:work_but_for_dpo"


def _run(name: str) -> RunFolder:
    return RunFolder(paths.runs_dir() / name)


def _failed(file: Path) -> ChainFolder:
    """Return a chain whose second stage has failed."""
    chain = start(load_chain(file), worker=BUT_FOR_DPO)
    assert wait_until(chain, ended).state == "failed"
    return chain


def test_on_other_data_it_goes_on_only_when_told(
    home: Path, chain_file: Path, let_go: LetGo
) -> None:
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, at_work("sft", 3))
    stop(chain)
    wait_until(chain, ended)
    with Path("chats.jsonl").open("a") as file:
        file.write('{"prompt": "say more", "completion": "more"}\n')
    before = journal.read(chain)
    with pytest.raises(ChangedError, match="`ftui chain resume two --anyway`"):
        resume(chain, worker=WORK)
    said = ftui("resume", "--json")
    assert (said.exit_code, json.loads(said.stdout)["goes_on"]) == (1, False)
    assert journal.read(chain) == before  # nothing was begun
    let_go("two-sft", "two-dpo")
    onward = resume(chain, anyway=True, worker=WORK)
    assert (onward.stage, onward.run) == ("sft", "two-sft")
    assert [one.what for one in onward.changes if one.weight == "asks"] == ["data.train"]
    assert wait_until(chain, ended).state == "finished"
    assert not journal.is_allowed(journal.read(chain), "sft")  # it was for that once


def test_a_lost_output_is_named_and_trained_anew_when_asked(home: Path, chain_file: Path) -> None:
    chain = _failed(chain_file)
    shutil.rmtree(_run("two-sft").path / "adapter")
    batch = ["dpo.training.per_device_train_batch_size=1"]
    with pytest.raises(RunError, match="stage sft left, and that is gone: "):
        resume(chain, batch, worker=BUT_FOR_DPO)
    with pytest.raises(RunError, match="there is no stage sfT; there are sft, dpo"):
        resume(chain, redo=["sfT"], worker=BUT_FOR_DPO)
    onward = resume(chain, batch, redo=["sft"], worker=BUT_FOR_DPO)
    assert (onward.stage, onward.run, onward.anew) == ("sft", None, ("sft", "dpo"))
    status = wait_until(chain, ended)
    assert (status.state, [one.run for one in status.stages]) == (
        "finished",
        ["two-sft-2", "two-dpo-2"],
    )
    assert _run("two-dpo-2").spec().model.name_or_path.startswith(str(_run("two-sft-2").path))
    with pytest.raises(RunError, match="nothing left to do"):
        resume(chain)


def test_a_stage_whose_run_was_deleted_begins_anew_and_so_do_its_takers(
    home: Path, chain_file: Path
) -> None:
    chain = _failed(chain_file)
    delete_run(_run("two-sft"))
    assert [one.state for one in status_of(chain).stages] == ["deleted", "failed"]
    batch = ["dpo.training.per_device_train_batch_size=1"]
    onward = resume(chain, batch, worker=BUT_FOR_DPO)
    assert (onward.stage, onward.anew) == ("sft", ("dpo",))
    status = wait_until(chain, ended)
    assert [one.run for one in status.stages] == ["two-sft", "two-dpo-2"]
    delete_run(_run("two-sft"))  # to make room: what took its output is done
    assert status_of(chain).state == "finished"


def test_a_deleted_run_that_nobody_needs_any_more_costs_no_later_stage_its_run(
    home: Path, chain_file: Path
) -> None:
    text = chain_file.read_text().replace("{max_length: 512}", "{per_device_train_batch_size: 1}")
    third = text[text.index("- name: dpo") :].replace("name: dpo", "name: again", 1)
    chain_file.write_text(text + third.replace("batch_size: 1", "batch_size: 2"))
    chain = _failed(chain_file)
    delete_run(_run("two-sft"))
    status = status_of(chain)
    assert [one.state for one in status.stages] == ["deleted", "finished", "failed"]
    onward = resume(chain, worker=BUT_FOR_DPO)
    assert (onward.stage, onward.run, onward.anew) == ("again", "two-again", ())
    assert wait_until(chain, ended).stages[0].state == "deleted"


def test_a_run_that_a_person_brought_to_its_end_is_taken(
    home: Path, chain_file: Path, let_go: LetGo
) -> None:
    let_go("two-sft")
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, at_work("dpo", 3))
    stop(chain)
    wait_until(chain, ended)
    let_go("two-dpo")
    resume_run(_run("two-dpo"), worker=WORK)
    wait_for_run(_run("two-dpo"), lambda run: run.state == "finished")
    assert status_of(chain).state == "stopped"
    assert resume(chain, worker=WORK).run == "two-dpo"
    assert wait_until(chain, ended).state == "finished"
    assert len(all_folders()) == 2


def test_a_machine_that_goes_down_leaves_a_chain_that_goes_on(
    home: Path, chain_file: Path, let_go: LetGo
) -> None:
    let_go("two-sft")
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, at_work("dpo", 3))
    os.kill(conductor_of(chain), signal.SIGKILL)
    end_run(_run("two-dpo"))
    wait_until(chain, lambda now: (now.state, now.stages[1].state) == ("crashed", "crashed"))
    assert glances(list_runs())[0].verdict.state == "crashed"
    let_go("two-dpo")
    resume(chain, worker=WORK)
    assert wait_until(chain, ended).state == "finished"
    assert (_run("two-sft").path / "began").read_text().split() == ["0"]


@pytest.mark.usefixtures("let_go")
def test_a_chain_is_seen_to_live_on_another_host_while_its_heart_beats(
    home: Path, chain_file: Path
) -> None:
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, at_work("sft"))
    end_conductor(chain)
    lines = chain.events_file.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"host": "elsewhere"})
    chain.events_file.write_text("".join(f"{line}\n" for line in lines))
    chain.beat()
    assert status_of(chain).state == "running"
    long_ago = time.time() - 120
    os.utime(chain.lock_file, (long_ago, long_ago))
    crashed = status_of(chain)
    assert crashed.state == "crashed"
    assert "its process ran on elsewhere (seen 2m ago" in crashed.reason
    for act in (resume, delete):
        with pytest.raises(RunError, match="elsewhere, which has not said that it ended"):
            act(chain)
    assert resume(chain, anyway=True, worker=WORK).run == "two-sft"


@pytest.mark.usefixtures("let_go")
def test_deleting_waits_for_nobody_and_leaves_the_runs(home: Path, chain_file: Path) -> None:
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, at_work("sft"))
    assert "stop it first" in ftui("delete", "two", "--yes").output
    assert ftui("delete", "two", "--yes").exit_code == 1
    stop(chain, now=True)
    wait_until(chain, ended)
    assert "two-sft" in ftui("delete", "two").output  # it asks, and nobody answers
    said = ftui("delete", "two", "--yes", "--json")
    assert json.loads(said.stdout) == {"chain": "two", "command": "delete", "runs": []}
    assert not all_chains()
    assert [run.id for run in all_folders()] == ["two-sft"]
    assert glances(list_runs()) == []


def test_deleted_with_its_runs_nothing_is_left(home: Path, chain_file: Path) -> None:
    chain = start(load_chain(chain_file), worker=WORK)
    wait_until(chain, ended)
    again = start(load_chain(chain_file), worker=WORK)  # another of the same name
    assert again.id == "two-2"
    wait_until(again, ended)
    assert delete(chain, runs=True) == ["two-sft", "two-dpo"]
    assert sorted(run.id for run in all_folders()) == ["two-dpo-2", "two-sft-2"]


def test_glance_and_status_say_the_same(home: Path, chain_file: Path) -> None:
    chain = _failed(chain_file)
    (glance,) = glances(list_runs())
    status = status_of(chain)
    assert (glance.verdict.state, glance.verdict.reason) == (status.state, status.reason)
    assert glance.runs == ("two-sft", "two-dpo")
    assert (str(glance.place), glance.done) == ("two 2/2 dpo", 1)


@pytest.mark.usefixtures("let_go")
def test_watching_ends_with_ctrl_c_and_the_chain_goes_on(home: Path, chain_file: Path) -> None:
    start(load_chain(chain_file), worker=WORK)
    # Where the tests themselves run in the background, SIGINT is ignored, and children inherit it.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from tui_ft.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "chain", "watch", "two"]
    watching = subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True)
    assert watching.stdout is not None
    assert "stage sft" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=120)
    assert watching.returncode == 0
    assert "two goes on" in said
    chain = find("two")
    assert status_of(chain).is_live
    stop(chain, now=True)
    done = CliRunner().invoke(main, ["chain", "watch", "two", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "stopped"


def test_ctrl_c_while_a_process_starts_says_that_it_goes_on(home: Path, tmp_path: Path) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    @for_people
    def begin() -> None:
        start_in_background(
            "tests.chains.workers", tmp_path, (), log=Path("log"), name="it", has_begun=interrupted
        )

    said = CliRunner().invoke(click.command()(begin))
    assert said.exit_code == 130
    assert "it is started all the same, and goes on" in said.output
