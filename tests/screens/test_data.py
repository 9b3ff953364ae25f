"""The Data screen on real surveys of real files, driven by keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from tests.screens.conftest import make_app
from tests.screens.showing import said, showing, surveyed
from tui_ft.screens.data import DataScreen
from tui_ft.widgets.row_table import RowTable

SIZES = pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
Compare = Callable[..., bool]


async def test_rows_findings_and_lengths_are_shown(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (_, screen, _):
        assert "300 rows" in said(screen, "#headline")
        assert "Alpaca (100 % of rows)" in said(screen, "#headline")
        ids = [option.id for option in screen.query_one("#findings", OptionList).options]
        assert "exact-duplicate" in ids
        assert "p50" in said(screen, "#lengths")
        assert "packed" in said(screen, "#lengths")
        assert "What is number 0?" in said(screen, "#row")


async def test_a_finding_shows_its_rows_and_escape_shows_all(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data) as (_, screen, pilot):
        findings = screen.query_one("#findings", OptionList)
        await pilot.press("f")
        assert findings.has_focus
        findings.highlighted = findings.get_option_index("exact-duplicate")
        await pilot.press("enter")
        await pilot.pause(0.3)
        # The group: the row that stays, and its twin.
        assert [screen.rows.line(index, 80).split()[0] for index in (0, 1)] == ["4", "8"]
        await pilot.press("escape")
        assert screen.rows.line(0, 80).split()[0] == "1"


async def test_a_row_as_the_model_sees_it(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (_, screen, pilot):
        await pilot.press("v")
        await screen.app.workers.wait_for_complete()
        await pilot.pause(0.3)
        shown = said(screen, "#row")
        assert shown.startswith("learned: ")
        assert "▌ Answer 0: w0x0" in shown
        assert "  What is number 0?" in shown
        await pilot.press("v")
        await screen.app.workers.wait_for_complete()
        await pilot.pause(0.3)
        assert said(screen, "#row").startswith("a sequence of ")
        await pilot.press("v")
        await screen.app.workers.wait_for_complete()
        await pilot.pause(0.3)
        assert '"instruction": "What is number 0?"' in said(screen, "#row")


async def test_escapes_and_markup_in_rows_arrive_harmless(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data) as (_, screen, pilot):
        assert "\x1b" not in screen.rows.line(11, 120)
        assert "red [bold]tag[/bold]␇ and so" in screen.rows.line(11, 120)
        for _ in range(11):
            await pilot.press("j")
        await screen.app.workers.wait_for_complete()
        await pilot.pause(0.3)
        assert "red [bold]tag[/bold]␇ and so" in said(screen, "#row")


async def test_the_cursor_goes_to_the_last_row_and_back(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, size=(80, 24)) as (_, screen, pilot):
        await pilot.press("G")
        table = screen.query_one(RowTable)
        assert table.cursor == 299
        assert table.scroll_offset.y > 250
        await pilot.press("g")
        assert (table.cursor, table.scroll_offset.y) == (0, 0)


async def test_what_is_not_there_is_said(home: None) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("2")
        await pilot.pause(0.2)
        await pilot.press(*"none.jsonl", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause(0.2)
        assert any("none.jsonl cannot be read" in note.message for note in app._notifications)
        await pilot.press("1")
        await pilot.pause(0.1)
        await pilot.press("2")
        await pilot.pause(0.1)
        assert isinstance(app.screen, DataScreen)


@SIZES
def test_data(data: str, tiny_llama: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    surveyed(data, tiny_llama)
    app = make_app()

    async def run_before(pilot: Pilot[None]) -> None:
        screen = DataScreen(data, str(tiny_llama))
        pilot.app.push_screen(screen)
        for _ in range(100):
            await pilot.pause(0.1)
            if screen.is_shown_whole():
                break
        await pilot.pause(0.7)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause(0.3)

    settle: Callable[[Pilot[None]], Awaitable[None]] = run_before
    assert snap_compare(app, terminal_size=size, run_before=settle)


async def test_rows_are_searched_for_a_text(data: str, tiny_llama: Path) -> None:
    async with showing(data) as (app, screen, pilot):
        table = screen.query_one(RowTable)
        box = screen.query_one("#rows-box")
        await pilot.press("slash", *"number 29", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert screen.rows.count == 11  # 29 and 290 to 299
        assert "/number 29 11 found · esc for all" in str(box.border_title)
        assert app.focused is table
        await pilot.press("escape")
        await pilot.pause()
        assert screen.rows.count == 300
        assert str(box.border_title) == "Rows"
        await pilot.press("slash", *"[bold]tag", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert screen.rows.count == 1
        assert "bold]tag 1 found" in str(box.border_title)
