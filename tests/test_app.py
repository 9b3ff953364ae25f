from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.screens.conftest import FINISHED, START, MakeRun, home, make_app, make_run
from tests.screens.test_home import running, settled
from tui_ft.app import MODES, FtuiApp
from tui_ft.screens.home.screen import HomeScreen
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.widgets.confirm import Confirm
from tui_ft.widgets.help import HelpScreen

__all__ = ["home", "make_run"]  # fixtures

ROOT = Path(__file__).resolve().parents[1]


def _told(app: FtuiApp) -> str:
    return "\n".join(note.message for note in app._notifications)


async def _choose(app: FtuiApp, title: str) -> None:
    """Do what the palette does when ``title`` is chosen."""
    (command,) = (c for c in app.get_system_commands(app.screen) if c.title == title)
    done = command.callback()
    if inspect.isawaitable(done):
        await done


def test_every_mode_has_a_key_of_its_own_and_an_action() -> None:
    assert len({mode.key for mode in MODES}) == len(MODES)
    for mode in MODES:
        assert callable(getattr(FtuiApp, f"action_{mode.action}"))


async def test_the_mode_keys_go_to_the_live_run_and_back(make_run: MakeRun) -> None:
    make_run("old", FINISHED, started=START - 300)
    make_run("live", steps=3, live=True)
    async with running() as (app, pilot):
        await pilot.press("5")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert app.screen.folder.id == "live"
        await pilot.press("1")
        assert isinstance(app.screen, HomeScreen)


async def test_the_monitor_key_comes_back_to_the_run_seen_last(make_run: MakeRun) -> None:
    make_run("old", FINISHED, started=START - 300)
    make_run("live", steps=3, live=True)
    async with running() as (app, pilot):
        await pilot.press("j", "enter", "d", "k", "5")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert app.screen.folder.id == "old"


async def test_without_runs_the_monitor_key_says_how_to_start_one(home: Path) -> None:
    async with running() as (app, pilot):
        await pilot.press("5")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)
        assert "no runs yet" in _told(app)


async def test_mode_keys_do_not_reach_through_a_question(make_run: MakeRun) -> None:
    make_run("old", FINISHED)
    async with running() as (app, pilot):
        await pilot.press("x", "5", "1")
        assert isinstance(app.screen, Confirm)


async def test_the_palette_opens_modes_and_runs_by_name(make_run: MakeRun) -> None:
    make_run("alpha", FINISHED)
    make_run("beta", FINISHED)
    async with running() as (app, pilot):
        await _choose(app, "Open alpha")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert app.screen.folder.id == "alpha"
        await _choose(app, "Home")
        assert isinstance(app.screen, HomeScreen)
        await _choose(app, "Keys")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_every_theme_can_be_worn(make_run: MakeRun) -> None:
    make_run("alpha", FINISHED, steps=3)
    app = make_app("alpha")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        for theme in sorted(app.available_themes):
            app.theme = theme
            await pilot.pause()
            assert isinstance(app.screen, MonitorScreen)


async def test_leaving_writes_nothing_to_a_live_run(make_run: MakeRun) -> None:
    folder = make_run("live", steps=3, live=True)
    before = sorted(p.name for p in folder.path.iterdir())
    async with running() as (app, pilot):
        await pilot.press("enter")
        await settled(app, pilot)
        await pilot.press("q", "q")
        await pilot.pause()
        assert not app.is_running
    assert sorted(p.name for p in folder.path.iterdir()) == before


@pytest.mark.parametrize(("connection", "frames"), [("10.0.0.1 22", "15"), ("", "60")])
def test_fewer_frames_are_drawn_over_ssh(connection: str, frames: str) -> None:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("TEXTUAL_FPS", "SSH_CONNECTION")
    }
    if connection:
        environment["SSH_CONNECTION"] = connection
    program = "import tui_ft.app; from textual.constants import MAX_FPS; print(MAX_FPS)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.stdout.strip() == frames


def test_the_app_opens_without_what_only_specs_need() -> None:
    program = "import sys, tui_ft.app; print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["False", "False"]
