"""A model is chosen as one types: what is on this machine, the Hub, what ftui knows itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.hub.conftest import Hub
from tests.hub.test_models_search import ENTRY
from tests.idle import rested, settled
from tests.screens.conftest import make_app
from tests.screens.resting import Rests
from tests.screens.showing import said
from tests.tiny_model import make_tiny_llama
from tui_ft import paths
from tui_ft.screens.boxes.choose_model import ChooseModel

API = "/api/models"


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    server.answer(API, [ENTRY, {"id": "\x1b[31mevil/model", "downloads": 1}])
    yield server
    server.close()


Chosen = list[str | None]


@asynccontextmanager
async def choosing(chosen: str = "") -> AsyncIterator[tuple[ChooseModel, Chosen, Pilot[None]]]:
    app, answers = make_app(), list[str | None]()
    async with app.run_test(size=(120, 40)) as pilot:
        box = ChooseModel(chosen)
        app.push_screen(box, answers.append)
        await settled(pilot)
        yield box, answers, pilot


async def answered(pilot: Pilot[None]) -> None:
    await rested(pilot)


def offers(box: ChooseModel) -> list[str]:
    return [str(option.prompt) for option in box.query_one("#offers", OptionList).options]


async def test_the_hub_is_asked_once_one_rests_and_shows_what_one_chooses_by(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with choosing() as (box, chosen, pilot):
        rests = Rests(box, monkeypatch)
        await pilot.press(*"llama")
        assert not hub.asked
        assert "is asked" in said(box, "#hub")
        rests.over()
        await answered(pilot)
        assert len(hub.asked) == 1
        assert "search=llama" in hub.queries[0]
        first = offers(box)[0]
        for shown in ("hub ", "org/Llama-8B", "8.00 G parameters", "llama3.1", "gated", "16.0 GB"):
            assert shown in first
        assert not any("\x1b" in line for line in offers(box))
        await pilot.press("down", "enter")
        await settled(pilot)
        assert chosen == ["org/Llama-8B"]


async def test_what_is_on_this_machine_comes_first(hub: Hub) -> None:
    folder = make_tiny_llama(paths.make_private_dir(paths.models_dir()) / "my-llama")
    async with choosing() as (box, chosen, pilot):
        assert len(offers(box)) == 1  # without a word typed
        await pilot.press(*"llama")
        await answered(pilot)
        assert offers(box)[0].startswith("ftui")
        assert "chat template" in offers(box)[0]
        await pilot.press("down", "enter")
        await settled(pilot)
        assert chosen == [str(folder)]


async def test_where_the_hub_is_gone_well_known_models_are_offered(hub: Hub) -> None:
    hub.answers[API] = (500, b"out of order")
    async with choosing() as (box, _, pilot):
        await pilot.press(*"qwen2.5-7b")
        await answered(pilot)
        assert "these ftui knows itself" in said(box, "#hub")
        assert any("Qwen/Qwen2.5-7B-Instruct" in line for line in offers(box))


async def test_folders_are_completed_and_the_hub_is_not_asked_for_a_path(
    hub: Hub, tmp_path: Path
) -> None:
    (tmp_path / "weights" / "inner").mkdir(parents=True)
    async with choosing() as (box, chosen, pilot):
        box.query_one("#what", Input).value = f"{tmp_path}/wei"
        await answered(pilot)
        (offer,) = offers(box)
        assert offer.rstrip().endswith("weights/")
        await pilot.press("tab")  # as far as it is clear
        await answered(pilot)
        assert box.query_one("#what", Input).value == f"{tmp_path}/weights/"
        box.query_one("#what", Input).value = f"{tmp_path}/wei"
        await answered(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        assert box.query_one("#what", Input).value == f"{tmp_path}/weights/"
        assert not hub.asked
        await pilot.press("escape")
        await settled(pilot)
        assert chosen == [None]
