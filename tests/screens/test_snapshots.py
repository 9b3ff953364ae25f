"""Every screen as it looks at 80x24 and at 200x60."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from tests.advise.given import Arithmetic, situation_of
from tests.idle import rested, until
from tests.screens.conftest import (
    FAILED,
    FINISHED,
    OVERFITTING,
    SCORES,
    START,
    MakeRun,
    make_app,
)
from tui_ft.chains.check import StageFindings
from tui_ft.chains.folder import ChainFolder
from tui_ft.runs import events as ev
from tui_ft.runs.checks.finding import Finding
from tui_ft.screens.advise import screen as advise
from tui_ft.screens.boxes import start_chain
from tui_ft.screens.boxes.start_chain import StartChain
from tui_ft.screens.monitor.screen import MonitorScreen

SIZES = pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
Size = tuple[int, int]
_LOOKS = 3
Compare = Callable[..., bool]


def _settle(*keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def run_before(pilot: Pilot[None]) -> None:
        await rested(pilot)
        await pilot.press(*keys)
        await rested(pilot)
        screen = pilot.app.screen
        if isinstance(screen, MonitorScreen):  # the charts come with every second look
            await until(lambda: screen.looks >= _LOOKS, pilot)
            await rested(pilot)

    return run_before


@pytest.fixture
def four_runs(make_run: MakeRun) -> None:
    make_run("full-3b", FAILED, started=START - 90_000)
    make_run("demo-json", FINISHED, steps=400, started=START - 86_400)
    make_run(
        "support-dpo",
        ev.Phase(t=START, phase="wait", text="waits for GPU 0, after support-qlora"),
        live=True,
    )
    make_run("support-qlora", steps=320, live=True, gpus=(0,))


@SIZES
def test_home(four_runs: None, snap_compare: Compare, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=_settle())


@SIZES
def test_home_without_runs(home: None, snap_compare: Compare, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=_settle())


@SIZES
def test_home_with_a_chain(three_stages: object, snap_compare: Compare, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=_settle())


@SIZES
def test_a_running_monitor(make_run: MakeRun, snap_compare: Compare, size: Size) -> None:
    make_run("support-qlora", OVERFITTING, steps=320, live=True, gpus=(0,))
    app = make_app("support-qlora")
    assert snap_compare(app, terminal_size=size, run_before=_settle())


@SIZES
def test_a_finished_monitor(make_run: MakeRun, snap_compare: Compare, size: Size) -> None:
    make_run("demo-json", *SCORES, FINISHED, steps=400)
    keys = ("v", "v", "v") if size[0] == 80 else ()
    app = make_app("demo-json")
    assert snap_compare(app, terminal_size=size, run_before=_settle(*keys))


@SIZES
def test_a_failed_monitor(make_run: MakeRun, snap_compare: Compare, size: Size) -> None:
    make_run("full-3b", FAILED)
    assert snap_compare(make_app("full-3b"), terminal_size=size, run_before=_settle())


@SIZES
def test_configure(home: None, snap_compare: Compare, size: Size) -> None:
    keys = ("n", "enter", *"/m/llama", "enter", "j", "j")
    assert snap_compare(make_app(), terminal_size=size, run_before=_settle(*keys))


@SIZES
def test_advise(
    home: None, snap_compare: Compare, size: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"goal": "style", "model": "llama-8b-chat", "data": "answers-5k", "gpus": 24}
    monkeypatch.setattr(advise, "gather", lambda sought, listener: situation_of(said))
    monkeypatch.setattr(advise, "estimator", Arithmetic)
    keys = ("3", *"/m/llama", "enter", *"/d/s.jsonl", "enter", "j")
    assert snap_compare(make_app(), terminal_size=size, run_before=_settle(*keys))


@SIZES
def test_a_chain_to_start(
    three_stages: ChainFolder,
    snap_compare: Compare,
    size: Size,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate = Finding("warning", "training.learning_rate 0.5 is far", "set it to 0.0002 or less")
    found = [
        StageFindings("sft", (Finding("note", "training data: messages (100 % of rows)"),)),
        StageFindings("reward", (Finding("note", "begins with what stage sft leaves"), rate)),
        StageFindings("rloo", (Finding("note", "begins with what stage sft leaves"),)),
    ]
    monkeypatch.setattr(start_chain, "check_chain", lambda chain, *, memory: found)

    async def run_before(pilot: Pilot[None]) -> None:
        box = StartChain(
            three_stages.chain(), takes="sft 16.0 of 80.0 GiB, 1:10; about 3:00 in all"
        )
        pilot.app.push_screen(box)
        await rested(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=run_before)
