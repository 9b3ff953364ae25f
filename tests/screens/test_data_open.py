"""A data set is chosen as one types: files here, sets looked at lately, the Hub."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.hub.conftest import Hub, Mute
from tests.idle import LONG, rested, settled, until
from tests.screens.conftest import make_app
from tests.screens.resting import Rests
from tests.screens.showing import said, shown_whole
from tui_ft.app import FtuiApp
from tui_ft.hub import client
from tui_ft.hub.datasets_search import HubDataset
from tui_ft.hub.listing import HubAnswer
from tui_ft.screens.boxes import open_data as data_open
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.screens.data import opening as data_opening
from tui_ft.screens.data.screen import DataScreen
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request

SIZES = pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
Compare = Callable[..., bool]
API = "/api/datasets"

FOUND: list[dict[str, Any]] = [
    {
        "id": "tatsu-lab/alpaca",
        "downloads": 123_456,
        "gated": False,
        "tags": ["license:cc-by-nc-4.0", "size_categories:10K<n<100K", "format:parquet"],
        "cardData": {"dataset_info": {"download_size": 24_246_638, "splits": []}},
    },
    {"id": "org/alpaca-private", "gated": "manual", "private": True, "tags": ["format:json"]},
    {"id": "\x1b[31mevil", "downloads": 1},
]


@pytest.fixture
def hub(data: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server.answer(API, FOUND)
    yield server
    server.close()


@asynccontextmanager
async def opening() -> AsyncIterator[tuple[FtuiApp, OpenData, Pilot[None]]]:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settled(pilot)
        assert isinstance(app.screen, OpenData)
        yield app, app.screen, pilot


async def _answered(pilot: Pilot[None]) -> None:
    await rested(pilot)


def _offers(box: OpenData) -> list[str]:
    return [str(option.prompt) for option in box.query_one("#offers", OptionList).options]


async def test_the_hub_is_asked_once_one_rests_and_shows_what_one_chooses_by(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opening() as (_, box, pilot):
        rests = Rests(box, monkeypatch)
        await pilot.press(*"alpaca")
        assert not hub.asked
        assert "is asked" in said(box, "#hub")
        rests.over()
        await _answered(pilot)
        assert len(hub.asked) == 1
        assert "search=alpaca" in hub.queries[0]
        first, second = _offers(box)  # the third has no usable name
        assert first.startswith("hub   tatsu-lab/alpaca")
        for shown in ("123 k dl", "24.2 MB", "cc-by-nc-4.0", "10K<n<100K rows", "parquet"):
            assert shown in first
        for shown in ("gated (manual)", "private", "no licence", "json", "n/a"):
            assert shown in second
        await pilot.press("x", "backspace")
        rests.over()
        await _answered(pilot)
        assert len(hub.asked) == 1  # known by now
        assert len(_offers(box)) == 2


async def test_files_here_come_before_the_hub(hub: Hub) -> None:
    async with opening() as (_, box, pilot):
        await pilot.press(*"ro")
        await _answered(pilot)
        assert _offers(box)[0].startswith("file  rows.jsonl")
        assert len(_offers(box)) == 3
        await pilot.press("tab")
        assert box.query_one("#what", Input).value == "rows.jsonl"


async def test_paths_are_not_asked_for(hub: Hub, tmp_path: Path) -> None:
    async with opening() as (_, box, pilot):
        box.query_one("#what", Input).value = f"{tmp_path}/da"
        await _answered(pilot)
        (offer,) = _offers(box)
        assert offer.rstrip().endswith("/data/")
        await pilot.press("tab", "tab")
        await _answered(pilot)
        assert box.query_one("#what", Input).value == f"{tmp_path}/data/rows.jsonl"
        assert not hub.asked


async def test_an_answer_that_comes_too_late_is_not_shown(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(query: str) -> Any:
        if query == "slow":
            begun.set()
            go.wait(LONG)
        return HubAnswer((HubDataset(f"org/{query}"),))

    async with opening() as (_, box, pilot):
        monkeypatch.setattr(data_open, "search_datasets", slow)
        await pilot.press(*"slow")
        await asyncio.to_thread(begun.wait, LONG)
        await pilot.press(*"er")
        await until(lambda: [line[6:16] for line in _offers(box)] == ["org/slower"], pilot)
        go.set()
        await settled(pilot)
        assert [line[6:16] for line in _offers(box)] == ["org/slower"]


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, b"", "does not accept your token"),
        (403, b"", "refuses (403)"),
        (404, b"{}", "answers 404"),
        (429, b"", "asked too often"),
        (500, b"", "is in trouble"),
        (200, b"<html>", "makes no sense"),
        (200, b"\xff\x00[", "makes no sense"),
        (200, b"[]", "the Hub has none called so"),
    ],
)
async def test_every_other_answer_is_said_in_place(
    status: int, body: bytes, problem: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.answers[API] = (status, body)
    async with opening() as (app, box, pilot):
        await pilot.press(*"alpaca")
        await _answered(pilot)
        assert problem in said(box, "#hub")
        assert _offers(box) == []
        Rests(box, monkeypatch)
        await pilot.press("s")  # one can go on
        await pilot.pause()
        assert "is asked" in said(box, "#hub")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, DataScreen)


async def test_a_hub_that_is_mute_slow_gone_or_forbidden_is_told(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT")
    hub.answers[API] = (200, b"[" + b" " * 500 + b"]")
    hub.dribbling.add(API)
    mute = Mute()
    async with opening() as (_, box, pilot):
        for endpoint, seconds, problem in (
            (hub.url, 0.3, "does not answer"),
            (mute.url, 0.3, "does not answer"),
            ("http://127.0.0.1:1", LONG, "cannot be reached"),
        ):
            monkeypatch.setattr(client, "SECONDS", seconds)
            monkeypatch.setenv("HF_ENDPOINT", endpoint)
            box.query_one("#what", Input).value = f"at {endpoint}"
            await _answered(pilot)
            assert problem in said(box, "#hub")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        box.query_one("#what", Input).value = "alpaca"
        await _answered(pilot)
        assert "HF_HUB_OFFLINE" in said(box, "#hub")
    mute.socket.close()


async def test_what_is_found_on_the_hub_is_fetched_and_opened(
    hub: Hub, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def fetch(name: str, **_: object) -> Path:
        fetched.append(name)
        return Path(data).absolute()

    monkeypatch.setattr(data_opening, "fetch_dataset", fetch)
    async with opening() as (app, _, pilot):
        await pilot.press(*"alpaca")
        await _answered(pilot)
        await pilot.press("down", "enter")
        screen = next(each for each in app.screen_stack if isinstance(each, DataScreen))
        await shown_whole(screen, pilot)
        assert fetched == ["tatsu-lab/alpaca"]
        assert "300 rows" in said(screen, "#headline")


async def test_what_was_looked_at_lately_is_offered_as_it_was_read(hub: Hub, data: str) -> None:
    by_hand = Request(data, "prompt_completion", {"prompt": "output", "completion": "instruction"})
    for _ in Asked(by_hand).follow():
        pass
    async with opening() as (app, box, pilot):
        first = _offers(box)[0]
        assert first.startswith("seen  rows.jsonl")
        assert "300 rows  prompt_completion, columns by hand" in first
        await pilot.press("down", "enter")
        screen = next(each for each in app.screen_stack if isinstance(each, DataScreen))
        await shown_whole(screen, pilot)
        assert "prompt and completion" in said(screen, "#headline")


@SIZES
def test_open(hub: Hub, snap_compare: Compare, size: tuple[int, int]) -> None:
    async def run_before(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settled(pilot)
        await pilot.press(*"alpaca")
        await _answered(pilot)
        pilot.app.screen.query_one("#what", Input).cursor_blink = False
        await settled(pilot)

    settle: Callable[[Pilot[None]], Awaitable[None]] = run_before
    assert snap_compare(make_app(), terminal_size=size, run_before=settle)
