from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from textual.content import Content
from textual.widgets import Input, OptionList, TextArea

from tests.memory.models import TINY
from tests.screens.conftest import FINISHED, MakeRun
from tests.screens.test_home import running, settled, shown
from tui_ft.app import FtuiApp
from tui_ft.runs.folder import RunFolder
from tui_ft.screens import new_run
from tui_ft.screens.home import HomeScreen
from tui_ft.screens.monitor import MonitorScreen
from tui_ft.screens.new_run import NewRunScreen, start


def _form(app: FtuiApp) -> NewRunScreen:
    assert isinstance(app.screen, NewRunScreen)
    return app.screen


async def test_a_new_run_that_cannot_be_says_so_in_place(home: Path) -> None:
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        screen = _form(app)
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


async def test_a_preset_says_when_to_use_it(home: Path) -> None:
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        form = _form(app)
        assert form.query_one("#spec", Input).value == "sft-lora"
        form.query_one("#presets", OptionList).highlighted = 0
        await pilot.pause()
        assert form.query_one("#spec", Input).value == "demo"
        await pilot.press("enter")
        assert form.focused is form.query_one("#model")


async def test_a_wrong_key_is_named_with_the_nearest_known_one(home: Path) -> None:
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        form = _form(app)
        form.query_one("#model", Input).value = "m"
        form.query_one("#data", Input).value = "d.jsonl"
        form.query_one("#more", TextArea).text = "training.learning_rat=1e-4"
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert "learning_rate" in shown(app, "#problems")
        assert not form.query_one("#start").disabled


async def test_memory_is_told_before_the_start(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        screen = _form(app)
        screen.query_one("#model", Input).value = str(tmp_path)
        await pilot.press("ctrl+g")
        await settled(app, pilot)
        assert "data.train" in shown(app, "#problems")
        screen.query_one("#data", Input).value = "rows.jsonl"
        screen.query_one("#more", TextArea).text = "training.max_length=64"
        await pilot.press("ctrl+g")
        await settled(app, pilot)
        assert "memory: " in shown(app, "#problems")
        assert "a card of 8 GB holds it" in shown(app, "#problems")
        assert isinstance(app.screen, NewRunScreen)


async def test_a_run_is_started_once_and_then_shown(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("support", FINISHED, steps=3)
    calls, go_on = [], threading.Event()

    def slow(reference: str, overrides: list[str]) -> tuple[RunFolder | None, list[Content]]:
        calls.append((reference, overrides))
        go_on.wait(5)
        return folder, []

    monkeypatch.setattr(new_run, "start", slow)
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        _form(app).query_one("#data", Input).value = "d.jsonl"
        await pilot.press("ctrl+s", "ctrl+s", "escape")  # impatient
        await pilot.pause()
        assert isinstance(app.screen, NewRunScreen)
        go_on.set()
        await settled(app, pilot)
        assert calls == [("sft-lora", ["data.train=d.jsonl"])]
        assert isinstance(app.screen, MonitorScreen)
        assert app.screen.folder.id == "support"


async def test_what_nobody_foresaw_is_said_in_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reference: str, overrides: list[str]) -> tuple[RunFolder | None, list[Content]]:
        raise ZeroDivisionError("[b]oops[/b]")

    monkeypatch.setattr(new_run, "start", broken)
    async with running((100, 40)) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        await pilot.press("ctrl+s")
        await pilot.pause(0.3)
        assert "ZeroDivisionError" in shown(app, "#problems")
        assert "[b]oops[/b]" in shown(app, "#problems")
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"- just\n- a list\n", b""])
def test_a_file_that_is_no_run_is_refused_with_a_reason(
    tmp_path: Path, home: Path, content: bytes | None
) -> None:
    path = tmp_path / "run.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    folder, problems = start(str(path), [])
    assert folder is None
    assert problems
    assert "run.yaml" in problems[0].plain
