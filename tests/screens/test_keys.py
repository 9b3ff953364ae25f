"""Keys of all screens: each is told, each that does something has its command, none is cut."""

from __future__ import annotations

import click
import pytest
from textual.app import App
from textual.binding import Binding
from textual.screen import Screen

from tests.screens.conftest import FINISHED, MakeRun
from tests.screens.test_home import running, settled
from tui_ft.app import FtuiApp
from tui_ft.cli import main
from tui_ft.screens.advise.screen import AdviseScreen
from tui_ft.screens.configure.screen import ConfigureScreen
from tui_ft.screens.data.screen import DataScreen
from tui_ft.screens.home.screen import HomeScreen
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.screens.twins import ONLY_HERE, TWINS
from tui_ft.widgets.help import HelpScreen
from tui_ft.widgets.key_footer import KeyFooter

SCREENS = (FtuiApp, HomeScreen, DataScreen, AdviseScreen, ConfigureScreen, MonitorScreen)


@pytest.mark.parametrize("screen", SCREENS)
def test_every_key_has_a_name_a_meaning_and_a_command(
    screen: type[App[None] | Screen[None]],
) -> None:
    for binding in screen.BINDINGS:
        assert isinstance(binding, Binding)
        assert binding.tooltip, binding
        assert (binding.id in TWINS) != (binding.id in ONLY_HERE), binding


@pytest.mark.parametrize("command", sorted({one for one in TWINS.values() if one != "ctrl+c"}))
def test_the_command_beside_a_key_is_one(command: str) -> None:
    _, *words = command.split()
    found: click.Command = main
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        found = found.get_command(click.Context(found), words.pop(0))  # type: ignore[assignment]
        assert found is not None, command
    known = {option for one in found.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= known
    arguments = sum(isinstance(one, click.Argument) for one in found.params)
    assert sum(word.isupper() for word in words) >= bool(arguments and words)


async def test_help_begins_with_what_the_screen_does_and_names_the_commands(
    make_run: MakeRun,
) -> None:
    make_run("support", FINISHED, steps=3)
    async with running((80, 24)) as (app, pilot):
        await pilot.press("question_mark")
        await settled(app, pilot)
        assert isinstance(app.screen, HelpScreen)
        keys = app.screen._keys
        assert keys[0].description == "New"
        groups = [one.group for one in keys]
        assert groups == sorted(groups, key=["This screen", "Runs", "Everywhere"].index)
        commands = {one.description: one.command for one in keys}
        assert commands["Stop"] == "ftui stop RUN"
        assert commands["Open"] == "ftui watch RUN"
        assert commands["Mark"] == ""
        drawn = "\n".join(s.text for s in app.screen._compositor.render_strips(app.size))
        assert "Save a checkpoint and stop" in drawn
        assert "ftui stop RUN" in drawn


@pytest.mark.parametrize("width", [60, 70, 80, 200])
@pytest.mark.parametrize("key", ["1", "2", "3", "4", "5"])
async def test_no_key_of_the_last_line_is_cut(make_run: MakeRun, key: str, width: int) -> None:
    make_run("support", FINISHED, steps=3)
    async with running((width, 24)) as (app, pilot):
        await pilot.press(key)
        await settled(app, pilot)
        while app.screen.is_modal:
            await pilot.press("escape")
            await settled(app, pilot)
        footer = app.screen.query_one(KeyFooter)
        assert all(one.region.right <= width for one in footer.children)
        assert footer.children[-1].region.width == len(" ? Help ")
