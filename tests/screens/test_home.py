from __future__ import annotations

import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from tests import idle
from tests.screens.conftest import FAILED, FINISHED, NOW, START, MakeRun, make_app
from tui_ft.app import FtuiApp
from tui_ft.paths import runs_dir
from tui_ft.runs import events as ev
from tui_ft.runs.registry import RunSummary
from tui_ft.screens.home import screen as home
from tui_ft.screens.home.run_row import Columns, progress_text, run_cells, short_name
from tui_ft.screens.home.runs_table import RunsTable
from tui_ft.screens.home.screen import HomeScreen
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.widgets.confirm import Confirm
from tui_ft.widgets.gpu_panel import HardwarePanel
from tui_ft.widgets.help import HelpScreen


@asynccontextmanager
async def running(size: tuple[int, int] = (100, 30)) -> AsyncIterator[tuple[FtuiApp, Pilot[None]]]:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        yield app, pilot


def drawn(box: Widget) -> str:
    """Return a part of the screen as it is drawn."""
    return "\n".join(strip.text for strip in box.render_lines(Region(0, 0, *box.outer_size)))


async def settled(app: FtuiApp, pilot: Pilot[None]) -> None:
    await idle.settled(pilot)


async def until(condition: Callable[[], bool], app: FtuiApp, pilot: Pilot[None]) -> None:
    """Wait for what comes with the next look at the runs; however busy the machine is."""
    await idle.until(condition, pilot)
    await idle.settled(pilot)


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


async def test_what_is_not_at_work_is_not_asked_about_stopping(runs: None) -> None:
    async with running() as (app, pilot):
        for key in ("s", "K"):
            await pilot.press("j", key)
            assert isinstance(app.screen, HomeScreen)
        said = [notification.message for notification in app._notifications]
        assert any(one.startswith("beta is not running: it is failed") for one in said)
        assert any(one.startswith("alpha is not running: it is finished") for one in said)
        await pilot.press("space", "k", "k", "space", "s")  # alpha and gamma: one of them can
        assert isinstance(app.screen, Confirm)
        assert "Stop gamma?" in str(app.screen.query_one("#question", Static).content)


async def test_folders_that_cannot_be_read_are_named(
    runs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = ["theirs", "[b]mine[/b]"]
    monkeypatch.setattr(home, "unreadable", lambda root: closed if root == runs_dir() else [])
    async with running() as (app, pilot):
        box = app.screen.query_one("#runs-box")
        assert "▲ closed to you, so not listed: [b]mine[/b], theirs" in drawn(box)
        closed.clear()
        await until(lambda: "closed to you" not in drawn(box), app, pilot)


async def test_delete_asks_and_removes_all_that_are_marked(runs: None, make_run: MakeRun) -> None:
    folder = make_run("delta", FINISHED, started=START - 400)
    async with running() as (app, pilot):
        await pilot.press("j", "j", "space", "space", "x")  # alpha and delta
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(lambda: len(names(app)) == 2, app, pilot)
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
        await until(lambda: len(names(app)) == 4, app, pilot)
        assert names(app)[:2] == ["newcomer", "gamma"]
        assert isinstance(app.screen, HomeScreen)
        assert app.screen.query_one(RunsTable).selected_id == "beta"


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


async def test_a_run_deleted_elsewhere_is_not_mistaken_for_its_namesake(make_run: MakeRun) -> None:
    make_run("demo-2", FINISHED, started=START - 300)
    folder = make_run("demo", FINISHED)
    async with running() as (app, pilot):
        await pilot.press("x")
        await pilot.pause()
        shutil.rmtree(folder.path)
        await pilot.press("y")
        await settled(app, pilot)
        assert (folder.path.parent / "demo-2" / "run.yaml").is_file()
        assert any("demo is not there any more" in note.message for note in app._notifications)


async def test_what_the_filter_hides_is_not_acted_on(runs: None, make_run: MakeRun) -> None:
    async with running() as (app, pilot):
        await pilot.press("j", "space", "k", "j", "space")  # beta, alpha
        await pilot.press("slash", *"alpha", "enter", "x")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        assert str(app.screen.query_one("#question", Static).render()) == "Delete alpha?"


async def test_several_runs_are_named_before_they_go(runs: None) -> None:
    async with running() as (app, pilot):
        await pilot.press("j", "space", "space", "x")
        await pilot.pause()
        assert "beta, alpha." in str(app.screen.query_one("#consequence", Static).render())


async def test_a_gpu_is_labelled_with_the_run_of_this_host_alone(make_run: MakeRun) -> None:
    make_run("near", steps=2, live=True, gpus=(0,))
    make_run("far", steps=2, live=True, gpus=(1,), host="gpu02")
    async with running((120, 30)) as (app, _):
        lines = str(app.screen.query_one("#hardware", HardwarePanel).render()).splitlines()
        assert "near" in lines[0]
        assert "far" not in lines[1]


async def test_a_wide_window_has_room_for_reasons_and_more_figures(runs: None) -> None:
    async with running((80, 24)) as (app, pilot):
        table = app.screen.query_one(RunsTable)
        assert "eval" not in [str(column.label).strip() for column in table.columns.values()]
        assert "at batch 8" not in str(table.get_row("beta"))
        await pilot.resize_terminal(200, 60)
        await settled(app, pilot)
        assert "eval" in [str(column.label).strip() for column in table.columns.values()]
        assert "at batch 8 x 4096" in str(table.get_row("beta"))


async def test_a_thousand_runs_are_listed_and_filtered(make_run: MakeRun) -> None:
    folder = make_run("run-0", FINISHED)
    for number in range(1, 1_000):
        shutil.copytree(folder.path, folder.path.parent / f"run-{number}")
        status = folder.path.parent / f"run-{number}" / "status.json"
        status.write_text(status.read_text().replace('"run-0"', f'"run-{number}"'))
    async with running() as (app, pilot):
        assert len(names(app)) == 1_000
        await pilot.press("slash", *"run-99")
        await settled(app, pilot)
        assert sorted(names(app)) == ["run-99", *(f"run-99{n}" for n in range(10))]


async def test_a_read_that_takes_long_is_not_begun_twice(runs: None) -> None:
    calls, go_on = [], threading.Event()

    def slow() -> None:
        calls.append(1)
        go_on.wait(idle.LONG)

    async with running() as (app, pilot):
        screen = app.screen
        assert isinstance(screen, HomeScreen)
        screen.read_in_thread(slow)
        screen.read_in_thread(slow)
        await pilot.pause()
        go_on.set()
        await settled(app, pilot)
        assert len(calls) == 1


async def test_a_read_that_fails_is_tried_again_and_harms_nothing(runs: None) -> None:
    def fails() -> None:
        raise FileNotFoundError

    async with running() as (app, pilot):
        screen = app.screen
        assert isinstance(screen, HomeScreen)
        screen.read_in_thread(fails)
        await settled(app, pilot)
        assert app.is_running
        assert not screen.reading


def test_columns_fill_the_room_and_every_cell_fits() -> None:
    run = RunSummary(
        id="a-name-that-is-much-too-long-for-any-column-of-a-list",
        state="evaluating",
        step=123_456,
        total_steps=1_234_567,
        loss=1234.5,
        eval_loss=0.000123,
        eta_s=10 * 86_400.0,
        created=NOW - 500 * 86_400,
        method="qlora",
        user="somebody-with-a-long-name",
    )
    for width in (58, 72, 73, 78, 113, 114, 130, 198):
        columns = Columns.within(width, 1)
        assert sum(w + 2 for _, _, w in columns.table()) <= width
        cells = run_cells(run, columns, NOW, marked=True)
        for (key, _, room), cell in zip(columns.table(), cells, strict=True):
            assert len(cell.plain) <= room, (width, key)


def test_a_long_name_keeps_both_its_ends() -> None:
    assert short_name("support-qlora-lr-2e-4", 12) == "suppo…r-2e-4"
    assert short_name("short", 12) == "short"


def test_progress_is_a_bar_with_steps_or_the_reason() -> None:
    run = RunSummary(id="a", state="training", step=50, total_steps=100)
    assert progress_text(run, 18) == "████▌     50/100"
    assert progress_text(run, 8) == "50/100"
    assert progress_text(run, 5) == "50 %"
    waits = RunSummary(id="a", state="queued", reason="waits for GPU 0")
    assert progress_text(waits, 10) == "waits for…"
