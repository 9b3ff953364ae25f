"""`ftui chain`, headless, and what the app offers of chains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.chains.conftest import at_work, end_conductor, wait_until
from tests.screens.test_home import settled
from tui_ft.app import FtuiApp
from tui_ft.chains.folder import find
from tui_ft.chains.life import start
from tui_ft.chains.pipelines import PIPELINES
from tui_ft.cli import main
from tui_ft.runs.registry import list_runs
from tui_ft.screens.home.run_row import detail_of
from tui_ft.spec.chain import load_chain


def ftui(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["chain", *arguments])


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_is_a_chain(home: Path, tmp_path: Path, name: str) -> None:
    data = [part for one in PIPELINES[name].stages for part in ("--data", f"{one.name}=x.jsonl")]
    said = ftui("new", "--pipeline", name, "--model", "org/m", *data, "--out", "new.yaml")
    assert said.exit_code == 0, said.output
    chain = load_chain(tmp_path / "new.yaml")
    assert [one.name for one in chain.stages] == [one.name for one in PIPELINES[name].stages]
    assert {chain.first_model(stage) for stage in chain.stages} == {"org/m"}
    assert "is there already" in ftui("new", "--pipeline", name, "--model", "m", *data,
                                      "--out", "new.yaml").output  # fmt: skip


def test_what_a_pipeline_needs_is_asked_for(home: Path) -> None:
    said = ftui("new", "--pipeline", "rlhf", "--data", "sft=a", "--data", "dpo=b")
    assert said.exit_code == 1
    assert "--data reward=FILE: a better and a worse answer" in said.output
    assert "--data dpo=…: there is no such stage" in said.output
    assert {one["name"] for one in json.loads(ftui("new", "--json").stdout)} == set(PIPELINES)
    assert "there is no pipeline nothing" in ftui("new", "--pipeline", "nothing").output


def test_check_names_the_stage_and_its_fault(home: Path, chain_file: Path) -> None:
    sound = ftui("check", str(chain_file))
    assert sound.exit_code == 0 and "nothing stands against it" in sound.output
    Path("pairs.jsonl").write_text("")
    said = ftui("check", str(chain_file), "--json")
    assert said.exit_code == 1
    found = {one["stage"]: one["findings"] for one in json.loads(said.stdout)}
    assert [one["severity"] for one in found["dpo"]].count("bad") == 1
    assert ftui("start", str(chain_file)).exit_code == 1
    assert json.loads(ftui("list", "--json").stdout) == []


@pytest.mark.usefixtures("let_go")
async def test_a_killed_chain_is_seen_and_taken_up_again(home: Path, chain_file: Path) -> None:
    chain = start(load_chain(chain_file), worker="tests.chains.workers:work")
    wait_until(chain, at_work("sft"))
    (run,) = list_runs()
    assert "chain two 1/2 sft" in detail_of(run).plain
    end_conductor(chain)
    said = ftui("status", "two", "--json")
    assert (said.exit_code, json.loads(said.stdout)["state"]) == (1, "crashed")
    app = FtuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        titles = [one.title for one in app.get_system_commands(app.screen)]
        assert "Resume chain two" in titles
    assert "two-sft is told to stop" in ftui("stop").output
    assert find(None).id == "two"
    assert "1 sft" in ftui("status").output
    assert "0/2 stages" in ftui("list").output
