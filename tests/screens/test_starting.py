"""Runs and chains started from screens: what warns is shown, and asked about once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.screens.conftest import FINISHED, MakeRun
from tests.screens.test_configure import go_to, opened, typed
from tests.screens.test_home import drawn, running, settled, shown
from tests.tiny_model import chat_rows, write_rows
from tui_ft.app import FtuiApp
from tui_ft.chains import life
from tui_ft.chains.folder import ChainFolder
from tui_ft.runs.folder import RunFolder
from tui_ft.screens import starting
from tui_ft.screens.boxes.start_chain import StartChain
from tui_ft.screens.home.screen import HomeScreen
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.spec import RunSpec
from tui_ft.spec.chain import Chain
from tui_ft.widgets.confirm import Confirm
from tui_ft.widgets.row_table import RowTable


@pytest.fixture
def values(home: Path, tmp_path: Path, tiny_llama: Path) -> dict[str, Any]:
    """Return a run that nothing stands against."""
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(40))
    return {"model": {"name_or_path": str(tiny_llama)}, "data": {"train": str(rows)}}


@pytest.fixture
def launched(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    """Return the runs that are started; none really is."""
    folder = make_run("support", FINISHED, steps=3)
    started: list[RunSpec] = []

    def launch(spec: RunSpec) -> RunFolder:
        started.append(spec)
        return folder

    monkeypatch.setattr(starting, "launch", launch)
    return started


async def test_a_run_without_warnings_starts_at_once(
    values: dict[str, Any], launched: list[RunSpec]
) -> None:
    async with running() as (app, pilot):
        await opened(app, pilot, values)
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert len(launched) == 1


async def test_what_warns_is_shown_and_asked_about_once(
    values: dict[str, Any], launched: list[RunSpec]
) -> None:
    async with running((80, 24)) as (app, pilot):
        screen = await opened(app, pilot, {**values, "training": {"learning_rate": 0.5}})
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert isinstance(app.screen, Confirm)
        asked = str(app.screen.query_one("#consequence", Static).content)
        assert "training.learning_rate 0.5 is far from what sft with lora" in asked
        assert "(set training.learning_rate to" in asked
        assert app.screen.query_one("#yes").region.bottom < 24
        await pilot.press("n")
        await settled(app, pilot)
        assert launched == []
        assert "training.learning_rate 0.5" in shown(app, "#answer")  # still to be read
        await pilot.press("b")
        await go_to(screen, pilot, "training.packing")
        await pilot.press("enter")
        assert shown(app, "#answer") == ""  # which is of another run by now
        await pilot.press("u")
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        await pilot.press("y")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert [spec.training.learning_rate for spec in launched] == [0.5]


async def test_many_warnings_leave_room_for_the_answer(
    values: dict[str, Any], launched: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tuple(f"warning {number}, which is long enough for two lines" for number in range(30))
    monkeypatch.setattr(starting, "warnings_of", lambda found: many)
    async with running((60, 16)) as (app, pilot):
        await opened(app, pilot, values)
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert app.screen.query_one("#yes").region.bottom < 16
        box = app.screen.query_one("#consequence-box")
        await pilot.press("j")
        await pilot.pause()
        assert box.scroll_y == 1


@pytest.fixture
def started(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Chain]:
    """Return the chains that are started; none really is."""
    chains: list[Chain] = []

    def start(chain: Chain) -> ChainFolder:
        chains.append(chain)
        return ChainFolder(home / "chains" / chain.name)

    monkeypatch.setattr(life, "start", start)
    return chains


def _chain_file(folder: Path, run: dict[str, Any], rate: float) -> Path:
    sft = {"name": "sft", "preset": "sft-lora", "run": run}
    again = {"model": {"name_or_path": "previous"}, "data": run["data"]}
    more = {"name": "more", "run": {**again, "training": {"learning_rate": rate}}}
    file = folder / "chain.yaml"
    file.write_text(yaml.safe_dump({"name": "twice", "stages": [sft, more]}))
    return file


async def _chosen(app: FtuiApp, pilot: Pilot[None], file: Path) -> str:
    """Name the file in the box; return what is said of it."""
    assert isinstance(app.screen, StartChain)
    app.screen.query_one("#chain-file", Input).value = str(file)
    await pilot.press("enter")
    await settled(app, pilot)
    return shown(app, "#stages") + "\n" + shown(app, "#verdict-of-chain")


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_chain_is_started_from_its_file_once_its_stages_were_seen(
    values: dict[str, Any], started: list[Chain], tmp_path: Path, size: tuple[int, int]
) -> None:
    file = _chain_file(tmp_path, values, 0.5)
    async with running(size) as (app, pilot):
        await pilot.press("N")
        said = await _chosen(app, pilot, file)
        assert "✔ 1 sft  sft lora" in said
        assert "▲ 2 more  sft lora" in said
        assert "begins with what stage sft leaves" in said
        assert "training.learning_rate 0.5 is far from" in said
        assert "`ctrl+s` starts it all the same" in said
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)
        assert started == []
        await pilot.press("N")
        assert "starts it" in await _chosen(app, pilot, _chain_file(tmp_path, values, 1e-4))
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert isinstance(app.screen, HomeScreen)
        assert [chain.name for chain in started] == ["twice"]
        assert "twice runs in the background" in str([n.message for n in app._notifications])


async def test_a_chain_that_would_fail_is_not_started(
    values: dict[str, Any], started: list[Chain], tmp_path: Path
) -> None:
    lost = {**values, "data": {"train": "/nowhere/rows.jsonl"}}
    file = _chain_file(tmp_path, lost, 1e-4)
    async with running((80, 24)) as (app, pilot):
        await pilot.press("N")
        assert "nothing is started: sft, more would fail" in await _chosen(app, pilot, file)
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert isinstance(app.screen, StartChain)
        assert started == []
        file.write_text("stages: 3")
        assert "stages" in await _chosen(app, pilot, file)
        assert "no.yaml" in await _chosen(app, pilot, tmp_path / "no.yaml")
        app.screen.query_one("#chain-file", Input).value = "x"
        await settled(app, pilot)
        assert shown(app, "#verdict-of-chain") == ""  # what was found is of another file


async def test_a_chain_that_is_opened_as_a_run_is_offered_as_what_it_is(
    values: dict[str, Any], started: list[Chain], tmp_path: Path
) -> None:
    file = _chain_file(tmp_path, values, 1e-4)
    async with running() as (app, pilot):
        screen: object = await opened(app, pilot, values)
        await pilot.press("o")
        await typed(pilot, str(file))
        await settled(app, pilot)
        assert isinstance(app.screen, StartChain)
        assert "✔ 2 more" in shown(app, "#stages")
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert app.screen is screen
        assert len(started) == 1


@pytest.mark.parametrize("size", [(60, 16), (60, 20), (80, 24)])
async def test_what_is_said_leaves_room_for_the_fields_and_goes_with_escape(
    values: dict[str, Any], launched: list[RunSpec], size: tuple[int, int]
) -> None:
    async with running(size) as (app, pilot):
        screen = await opened(app, pilot, {**values, "training": {"learning_rate": 0.5}})
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        await pilot.press("n")
        await settled(app, pilot)
        assert screen.query_one(RowTable).size.height >= 3
        answer = screen.query_one("#answer")
        assert "".join(drawn(answer).split()).endswith("orless)")  # to its end
        assert answer.region.bottom < size[1]
        await pilot.press("escape")
        await settled(app, pilot)
        assert not answer.display
        assert screen.query_one("#about-field").display
