from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from tests.screens.conftest import FAILED, FINISHED, START, MakeRun, make_app
from tui_ft.app import FtuiApp
from tui_ft.runs import events as ev
from tui_ft.screens.home import HomeScreen
from tui_ft.screens.monitor import MonitorScreen
from tui_ft.screens.new_run import NewRunScreen
from tui_ft.widgets.confirm import Confirm
from tui_ft.widgets.help import HelpScreen


@asynccontextmanager
async def running(size: tuple[int, int] = (100, 30)) -> AsyncIterator[tuple[FtuiApp, Pilot[None]]]:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        yield app, pilot


async def settled(app: FtuiApp, pilot: Pilot[None]) -> None:
    await pilot.pause(0.1)
    await app.workers.wait_for_complete()
    await pilot.pause(0.1)


def names(app: FtuiApp) -> list[str]:
    table: DataTable[Any] = app.screen.query_one("#runs", DataTable)
    return [str(key.value) for key in table.rows]


def shown(app: FtuiApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


@pytest.fixture
def runs(make_run: MakeRun) -> None:
    make_run("alpha", FINISHED, started=START - 300)
    make_run("beta", FAILED, started=START - 200)
    make_run("gamma", steps=5, live=True)


async def test_live_runs_come_first_then_the_newest(runs: None) -> None:
    async with running() as (app, _):
        assert names(app) == ["gamma", "beta", "alpha"]


async def test_the_selected_run_says_why_it_ended(runs: None) -> None:
    async with running() as (app, pilot):
        await pilot.press("j")
        await pilot.pause()
        assert "ran out of memory" in shown(app, "#detail")
        assert "gradient_checkpointing: true" in shown(app, "#detail")


async def test_enter_opens_the_monitor_and_escape_comes_back(runs: None) -> None:
    async with running() as (app, pilot):
        await pilot.press("down", "enter")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert app.screen.folder.id == "beta"
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_the_filter_narrows_and_escape_takes_it_away(runs: None) -> None:
    async with running() as (app, pilot):
        await pilot.press("slash", *"fail")
        await pilot.pause()
        assert names(app) == ["beta"]
        await pilot.press("escape")
        await pilot.pause()
        assert names(app) == ["gamma", "beta", "alpha"]
        assert not app.screen.query_one("#filter", Input).display


async def test_stop_asks_and_then_writes_the_command(runs: None, make_run: MakeRun) -> None:
    async with running() as (app, pilot):
        await pilot.press("s")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        folder = make_run("delta", FINISHED)
        control = folder.path.parent / "gamma" / "control.jsonl"
        assert not control.exists()
        await pilot.press("s", "y")
        await settled(app, pilot)
        (line,) = control.read_text().splitlines()
        assert json.loads(line)["command"] == "stop"


async def test_delete_asks_and_removes_all_that_are_marked(runs: None, make_run: MakeRun) -> None:
    folder = make_run("delta", FINISHED, started=START - 400)
    async with running() as (app, pilot):
        await pilot.press("j", "j", "space", "space", "x")  # alpha and delta
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await settled(app, pilot)
        await settled(app, pilot)
        assert not folder.path.exists()
        assert names(app) == ["gamma", "beta"]


async def test_resuming_a_finished_run_says_why_not(runs: None) -> None:
    async with running() as (app, pilot):
        await pilot.press("j", "j", "r")
        await settled(app, pilot)
        messages = [notification.message for notification in app._notifications]
        assert any("alpha has finished" in message for message in messages)


async def test_a_run_that_goes_on_is_shown_without_losing_the_cursor(
    runs: None, make_run: MakeRun
) -> None:
    async with running() as (app, pilot):
        await pilot.press("j")
        make_run("newcomer", steps=2, live=True, started=START + 10)
        await pilot.pause(1.3)
        await settled(app, pilot)
        assert names(app)[:2] == ["newcomer", "gamma"]
        assert isinstance(app.screen, HomeScreen)
        assert app.screen.selected_id() == "beta"


async def test_markup_and_escapes_in_what_a_run_says_are_harmless(make_run: MakeRun) -> None:
    reason = "[bold red]boo[/] \x1b[2J\x1b]0;title\x07 done"
    make_run("evil", ev.Ended(t=START, state="failed", reason=reason))
    async with running() as (app, _):
        assert "[bold red]boo[/]  done" in shown(app, "#detail")


async def test_help_lists_the_keys_of_the_screen(runs: None) -> None:
    async with running() as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_a_tiny_terminal_is_asked_to_grow(runs: None) -> None:
    async with running((50, 12)) as (app, pilot):
        assert app.screen.query_one("#too-small").display
        assert not app.screen.query_one("#runs-box").display
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.screen.query_one("#runs-box").display
        assert not app.screen.query_one("#too-small").display


async def test_a_new_run_that_cannot_be_says_so_in_place(runs: None) -> None:
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, NewRunScreen)
        screen.query_one("#spec", Input).value = "/nowhere/run.yaml"
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert "no such file" in shown(app, "#problems")
        screen.query_one("#spec", Input).value = "sft-lora"
        screen.query_one("#model", Input).value = "/nowhere/model"
        screen.query_one("#data", Input).value = "/nowhere/data.jsonl"
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert "there is no file /nowhere/data.jsonl" in shown(app, "#problems")
        assert "there is no folder /nowhere/model" in shown(app, "#problems")
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)
