"""With --json an error is a document too, and there is never a second one beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ftui, MakeRun
from tests.runs.conftest import ended, wait_until
from tui_ft.runs import events as ev
from tui_ft.runs.folder import find


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("watch", "nope"), 1, "there is no run `nope`"),
        (("inspect", "nope.jsonl"), 1, "nope.jsonl cannot be read"),
        (("chain", "status"), 1, "there are no chains yet"),
        (("chain", "new", "--pipeline", "nope"), 1, "there is no pipeline nope"),
        (("eject", "nope"), 1, "no such file, and no preset"),
        (("estimate", "./nope"), 1, "there is no folder nope"),
        (("estimate", "--quick"), 2, "which MODEL?"),
        (("train",), 2, "Missing argument 'SPEC'"),
        (("runs", "more"), 2, "unexpected extra argument"),
        (("frob",), 2, "No such command"),
        (("chain", "frob"), 2, "No such command"),
        (("logs", "--worker"), 2, "it has no --json"),
    ],
)
def test_an_error_is_one_document(
    arguments: tuple[str, ...], code: int, said: str, ftui: Ftui, make_run: MakeRun
) -> None:
    if arguments[0] == "logs":
        make_run("done")
    done = ftui(*arguments, "--json")
    assert done.exit_code == code
    assert said in json.loads(done.stdout)["error"]
    assert said in done.stderr


def test_the_faults_of_a_spec_are_told_one_by_one(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("train", "run.yaml", "--json", "--set", "training.a=1", "--set", "name=a b")
    told = json.loads(done.stdout)
    assert {one["key"] for one in told["problems"]} == {"training.a", "name"}
    assert done.exit_code == 1


def test_a_run_that_is_refused_says_why(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("train", "run.yaml", "--json", "--set", "data.train=nope.jsonl")
    told = json.loads(done.stdout)
    assert "nope.jsonl" in told["error"]
    assert told["error"] in [one["text"] for one in told["findings"]]
    assert not ftui("runs").stdout.startswith("state")


def test_a_chain_that_is_refused_says_of_which_stage(ftui: Ftui, spec_file: Path) -> None:
    new = ("chain", "new", "--pipeline", "sft-dpo", "--model", "model", "--out", "chain.yaml")
    assert ftui(*new, "--data", "sft=data.jsonl", "--data", "dpo=data.jsonl").exit_code == 0
    done = ftui("chain", "start", "chain.yaml", "--no-memory", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["error"] == "nothing is started: dpo would fail"
    assert [one["stage"] for one in told["stages"]] == ["sft", "dpo"]


def test_what_is_not_confirmed_is_said(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("done", ev.Ended(state="finished", reason="all steps done"))
    done = ftui("delete", "done", "--json", answer="")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"error": "not confirmed: --yes does not ask"}


def test_a_document_that_tells_of_a_fault_stays_the_only_one(ftui: Ftui, home: Path) -> None:
    Path("empty.jsonl").touch()
    done = ftui("inspect", "empty.jsonl", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["data"]["problem"] in done.stderr


def test_without_yes_or_with_the_whole_name_alone_a_run_is_removed(
    ftui: Ftui, make_run: MakeRun
) -> None:
    make_run("exp-10", ev.Ended(state="finished", reason="all steps done"))
    done = ftui("delete", "exp-1", "--yes")
    assert done.exit_code == 1
    assert "exp-1 is not there, exp-10 is" in done.stderr
    assert find("exp-10").path.is_dir()
    assert ftui("delete", "exp-1", answer="y\n").exit_code == 0


def test_a_preset_is_meant_before_a_run_that_begins_so(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("sft-lora-2")
    assert "model: is missing" in ftui("eject", "sft-lora").stderr
    assert "there is no folder m" in ftui("eject", "sft-lora-").stderr


@pytest.mark.parametrize(
    "shows", ["--help", "train --help", "completion bash", "presets", "presets --json", "logs"]
)
def test_an_output_that_takes_nothing_is_told_as_such(shows: str, make_run: MakeRun) -> None:
    make_run("done", ev.Log(text="a line"), ev.Ended(state="finished", reason="all steps done"))
    assert _to_a_full_disk(*shows.split()) == (
        1,
        "the output cannot be written: No space left on device\n",
    )


def test_a_run_is_started_though_its_name_cannot_be_written(home: Path, spec_file: Path) -> None:
    code, said = _to_a_full_disk("train", "run.yaml", "--detach")
    assert (code, said.count("\n")) == (1, 1)
    wait_until(find("support"), ended, seconds=120)


def _to_a_full_disk(*arguments: str) -> tuple[int, str]:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-c", "from tui_ft.cli import main; main()", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=120,
            text=True,
        )
    return ran.returncode, ran.stderr
