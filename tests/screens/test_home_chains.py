"""Chains in Home: their runs stand together, and keys act on the whole."""

from __future__ import annotations

import json
import os

import pytest

from tests.screens.conftest import START, MakeRun
from tests.screens.test_home import names, running, settled, shown, until
from tui_ft.chains import journal, life
from tui_ft.chains.folder import ChainFolder, all_chains
from tui_ft.chains.glance import glances
from tui_ft.runs import events as ev
from tui_ft.runs.changes import Change, ChangedError
from tui_ft.runs.folder import delete, find
from tui_ft.runs.place import Place
from tui_ft.runs.registry import list_runs
from tui_ft.screens.home.runs_table import RunsTable
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.widgets.confirm import Confirm


async def test_its_runs_stand_under_it_in_the_order_of_their_stages(
    three_stages: ChainFolder,
) -> None:
    async with running() as (app, pilot):
        assert names(app) == ["chain:rlhf", "rlhf-sft", "rlhf-reward", "demo-json"]
        rows = app.screen.query_one(RunsTable)
        cells = [[str(cell) for cell in rows.get_row(key)] for key in names(app)]
        assert [cell.strip() for cell in cells[0][1:4]] == ["▶ running", "rlhf", "stage 2/3 reward"]
        assert cells[2][2] == "└ rlhf-reward"
        assert cells[3][2] == "demo-json"
        assert "rlhf  chain, running  stage reward: trains" in shown(app, "#detail")
        await pilot.press("slash", *"demo")
        await pilot.pause()
        assert names(app) == ["demo-json"]


async def test_enter_opens_the_stage_at_work_which_names_its_place(
    three_stages: ChainFolder,
) -> None:
    async with running() as (app, pilot):
        await pilot.press("enter")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert app.screen.folder.id == "rlhf-reward"
        assert "stage 2/3 reward of chain rlhf" in shown(app, "#facts")


def test_a_stage_that_is_done_anew_is_the_one_it_is_at(
    three_stages: ChainFolder, make_run: MakeRun
) -> None:
    changed = journal.Changed(t=START + 10, stage="sft", user="anna")
    started = journal.Started(t=START + 11, stage="sft", run="rlhf-sft-2")
    journal.note(three_stages, [changed, started])
    place = Place(chain="rlhf", stage="sft", number=1, of=3)
    make_run("rlhf-sft-2", steps=5, live=True, started=START + 12, place=place)
    (glance,) = glances(list_runs())
    assert (glance.at, glance.place, glance.done) == ("rlhf-sft-2", place, 0)
    assert glance.verdict.reason.startswith("stage sft: ")


def test_a_run_that_is_taken_up_again_is_not_told_as_it_ended(
    three_stages: ChainFolder, make_run: MakeRun
) -> None:
    killed = ev.Ended(t=START + 20, state="stopped", reason="killed by anna")
    place = Place(chain="rlhf", stage="rloo", number=3, of=3)
    make_run("rlhf-rloo", killed, steps=5, started=START + 12, place=place)
    journal.note(three_stages, [journal.Started(t=START + 11, stage="rloo", run="rlhf-rloo")])
    (glance,) = glances(list_runs())
    assert glance.verdict.reason == "stage rloo: killed by anna"
    journal.note(three_stages, [journal.Resumed(t=START + 30, stage="rloo", run="rlhf-rloo")])
    (glance,) = glances(list_runs())
    assert glance.verdict.reason == "stage rloo: is taken up again"


async def test_what_is_done_to_a_chain_that_is_gone_does_not_hit_its_like(
    three_stages: ChainFolder,
) -> None:
    async with running() as (app, pilot):
        await pilot.press("home", "s")
        three_stages.path.rename(three_stages.path.with_name("rlhf-2"))
        await pilot.press("y")
        await settled(app, pilot)
        assert not (three_stages.path.with_name("rlhf-2") / "control.jsonl").exists()
        assert "rlhf is not there any more" in str([one.message for one in app._notifications])


async def test_a_damaged_chain_is_told_and_not_passed_over(three_stages: ChainFolder) -> None:
    three_stages.chain_file.write_text("stages: 3")
    async with running() as (app, pilot):
        await pilot.press("home", "r")
        await settled(app, pilot)
        assert "chain.yaml" in str([one.message for one in app._notifications])


@pytest.mark.parametrize(("key", "command"), [("s", "stop"), ("K", "kill")])
async def test_a_key_stops_the_whole(three_stages: ChainFolder, key: str, command: str) -> None:
    async with running() as (app, pilot):
        await pilot.press(key)
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        assert not three_stages.control_file.exists()
        await pilot.press(key, "y")
        await settled(app, pilot)
        (line,) = three_stages.control_file.read_text().splitlines()
        assert json.loads(line)["command"] == command


def _end(chain: ChainFolder) -> None:
    journal.note(chain, [journal.Ended(state="stopped", reason="stopped by anna", advice=("go",))])


async def test_a_key_takes_it_up_again_and_asks_where_the_data_changed(
    three_stages: ChainFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    change = Change("data.train", "a of 1 MB", "a of 2 MB", "asks", "it learned other rows")

    def resume(folder: ChainFolder, *, anyway: bool = False) -> None:
        asked.append(anyway)
        if not anyway:
            raise ChangedError(folder.id, [change])

    monkeypatch.setattr(life, "resume", resume)
    _end(three_stages)
    async with running() as (app, pilot):
        await pilot.press("home")
        assert "rlhf  chain, stopped  stopped by anna\n→ go" in shown(app, "#detail")
        await pilot.press("r")
        await settled(app, pilot)
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await settled(app, pilot)
    assert asked == [False, True]


async def test_a_key_asks_before_it_takes_up_what_another_host_may_be_at(
    three_stages: ChainFolder,
) -> None:
    os.utime(three_stages.lock_file, (START, START))
    events = three_stages.events_file.read_bytes()
    async with running() as (app, pilot):
        await pilot.press("home", "r")
        await settled(app, pilot)
        assert isinstance(app.screen, Confirm)
        assert "if its process works on gpu01 yet" in shown(app, "#consequence")
        await pilot.press("n")
        await settled(app, pilot)
    assert three_stages.events_file.read_bytes() == events


async def test_deleted_it_leaves_its_runs_each_on_its_own(three_stages: ChainFolder) -> None:
    _end(three_stages)
    async with running() as (app, pilot):
        await pilot.press("home", "x", "y")
        await settled(app, pilot)
        assert not all_chains()
        await until(lambda: "chain:rlhf" not in names(app), app, pilot)
        assert names(app) == ["rlhf-reward", "rlhf-sft", "demo-json"]
    assert len(list_runs()) == 3


async def test_with_its_runs_it_goes_whole(three_stages: ChainFolder) -> None:
    _end(three_stages)
    reward = find("rlhf-reward")
    status = json.loads(reward.status_file.read_text())
    reward.status_file.write_text(json.dumps(status | {"state": "stopped", "ended": START}))
    async with running() as (app, pilot):
        await pilot.press("end", "X")
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)  # a run that stands alone is no chain
        await pilot.press("home", "X")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        assert "All its runs go with it" in shown(app, "#consequence")
        await pilot.press("y")
        await until(lambda: names(app) == ["demo-json"], app, pilot)
    assert not all_chains()
    assert [run.id for run in list_runs()] == ["demo-json"]


async def test_a_run_of_a_chain_is_still_stopped_alone(three_stages: ChainFolder) -> None:
    async with running() as (app, pilot):
        await pilot.press("j", "j", "s", "y")
        await settled(app, pilot)
    control = find("rlhf-reward").control_file
    assert json.loads(control.read_text())["command"] == "stop"
    assert not three_stages.control_file.exists()


async def test_a_chain_without_runs_is_listed_filtered_and_deleted(
    three_stages: ChainFolder,
) -> None:
    for run in list_runs():
        if run.place:
            delete(find(run.id))
    async with running() as (app, pilot):
        assert names(app) == ["chain:rlhf", "demo-json"]
        assert "no run of it is there any more" in shown(app, "#detail")
        await pilot.press("enter")
        assert "rlhf has no run to show" in str([one.message for one in app._notifications])
        await pilot.press("slash", *"rlh")
        await pilot.pause()
        assert names(app) == ["chain:rlhf"]
        await pilot.press("escape")
        delete(find("demo-json"))
        await until(lambda: names(app) == ["chain:rlhf"], app, pilot)
        assert names(app) == ["chain:rlhf"]
        titles = [one.title for one in app.get_system_commands(app.screen)]
        assert "Stop chain rlhf" in titles
        _end(three_stages)
        await until(lambda: "stopped by anna" in shown(app, "#detail"), app, pilot)
        await pilot.press("x", "y")
        await until(lambda: not names(app) or app.screen.query_one("#empty").display, app, pilot)
        assert app.screen.query_one("#empty").display
