"""What the Data screen asks in boxes: columns, cleaning, splitting. On real files, by keys."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.idle import settled, until
from tests.screens.conftest import make_app
from tests.screens.showing import said, showing, shown_whole, surveyed
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.screens.configure.screen import ConfigureScreen
from tui_ft.screens.data.clean import CleanData
from tui_ft.screens.data.columns import MapColumns
from tui_ft.screens.data.screen import DataScreen
from tui_ft.screens.data.split import SplitData
from tui_ft.survey import helpers, new_files
from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request

SIZES = pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
Compare = Callable[..., bool]


@pytest.fixture
def strange(data: str) -> str:
    """Return a file whose columns no format knows."""
    rows = [{"frage": f"Was ist {n}?", "antwort": f"Es ist die Zahl {n}."} for n in range(30)]
    rows[0] = {"frage": "Was ist [bold]0[/bold]?\x1b[2J", "antwort": "Es ist die Null."}
    Path("strange.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "strange.jsonl"


def _known(path: str) -> None:
    for _ in Asked(Request(path)).follow():
        pass


@pytest.mark.parametrize("box", [MapColumns, CleanData, SplitData, OpenData])
def test_every_key_of_a_box_has_an_id_and_a_tooltip(box: Any) -> None:
    assert all(binding.id and binding.tooltip for binding in box.BINDINGS)
    assert all(isinstance(binding, Binding) for binding in box.BINDINGS)


async def test_columns_are_mapped_and_the_first_row_is_shown_as_it_is_read(strange: str) -> None:
    async with showing(strange) as (app, screen, pilot):
        assert "of no known format" in said(screen, "#headline")
        assert "Was ist [bold]0" not in screen.rows.line(0, 80)  # nothing can be made of it yet
        assert "of no known" in screen.rows.line(0, 80)
        await pilot.press("c")
        await settled(pilot)
        box = app.screen
        assert isinstance(box, MapColumns)
        assert "of no known format" in said(box, "#outcome")
        await pilot.press("enter")  # of no use as it is: the box stays
        assert app.screen is box
        await pilot.press("f", "f")  # prompt_completion
        await pilot.press("space", "down", "right")
        await settled(pilot)
        columns = box.query_one("#columns", OptionList)
        prompts = [str(option.prompt) for option in columns.options]
        assert prompts[0].startswith("◆ prompt")
        assert prompts[1].startswith("◆ completion")
        assert "30 of 30 rows can be used" in said(box, "#outcome")
        assert "Was ist [bold]0[/bold]?" in said(box, "#first-row")
        assert "\x1b" not in said(box, "#first-row")
        assert said(box, "#map-yaml").splitlines() == [
            "data:",
            "  format: prompt_completion",
            "  columns:",
            "    prompt: frage",
            "    completion: antwort",
        ]
        await pilot.press("ctrl+s")
        await shown_whole(screen, pilot)
        assert "prompt and completion (100 % of rows)" in said(screen, "#headline")
        assert "Es ist die Null." in screen.rows.line(0, 80)


async def test_a_part_is_played_by_one_column_and_reset_forgets(strange: str) -> None:
    async with showing(strange) as (app, screen, pilot):
        await pilot.press("c")
        await settled(pilot)
        box = app.screen
        assert isinstance(box, MapColumns)
        await pilot.press("f", "f", "right", "down", "right")
        await settled(pilot)
        assert box._by_hand == {"prompt": "frage", "completion": "antwort"}
        await pilot.press("left")
        assert box._by_hand == {"prompt": "frage"}
        await pilot.press("left")  # backwards from nothing: the last part there is
        assert box._by_hand == {"prompt": "frage", "reference": "antwort"}
        await pilot.press("F")  # messages has a reference, but no prompt
        assert (box._format, box._by_hand) == ("messages", {"reference": "antwort"})
        await pilot.press("r")
        assert (box._format, box._by_hand) == ("auto", {})
        await pilot.press("escape")
        assert app.screen is screen


async def test_cleaning_shows_what_changes_and_writes_a_new_file(data: str) -> None:
    _known(data)
    before = Path(data).read_bytes()
    async with showing(data) as (app, screen, pilot):
        await pilot.press("x")
        await settled(pilot)
        box = app.screen
        assert isinstance(box, CleanData)
        remedies = box.query_one("#remedies", OptionList)
        marks = {str(option.id): str(option.prompt)[:8].strip() for option in remedies.options}
        assert marks["exact-duplicate"] == "◆ drop"
        assert marks["control-characters"] in ("◆ repair", "")
        assert "of 300 rows 298 stay and 2 go" in said(box, "#changes")
        remedies.highlighted = remedies.get_option_index("unusable-empty-answer")
        await settled(pilot)
        assert "10 ✖ goes" in said(box, "#example-rows")
        await pilot.press("space")
        await settled(pilot)
        assert "of 300 rows 299 stay and 1 go" in said(box, "#changes")
        assert "left as it is" in said(box, "#example-rows")
        await pilot.press("u")
        await settled(pilot)
        assert "298 stay" in said(box, "#changes")
        assert box.query_one("#output", Input).value == str(new_files.beside(data, "clean"))
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert "298 of 300 rows written to" in said(box, "#said")
        assert Path(data).read_bytes() == before
        assert len(Path("rows-clean.jsonl").read_text().splitlines()) == 298
        report = json.loads(Path("rows-clean.jsonl.report.json").read_text())
        assert {done["check"]: done["lines"] for done in report["done"]}["exact-duplicate"] == [8]
        await pilot.press("enter")  # opens it
        await shown_whole(screen, pilot)
        assert app.screen is screen
        assert "rows-clean.jsonl   298 rows" in said(screen, "#headline")


async def test_repairs_are_shown_before_and_after(data: str) -> None:
    rows = [json.loads(line) for line in Path(data).read_text().splitlines()]
    rows[20]["output"] = "This is hid\u200bden from all that look at it."
    Path("hidden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _known("hidden.jsonl")
    async with showing("hidden.jsonl") as (app, _, pilot):
        await pilot.press("x")
        await settled(pilot)
        box = app.screen
        remedies = box.query_one("#remedies", OptionList)
        remedies.highlighted = remedies.get_option_index("invisible-characters")
        await settled(pilot)
        shown = said(box, "#example-rows")
        assert r"21 before  This is hid\u200bden" in shown
        assert "after   This is hidden" in shown


async def test_what_goes_wrong_in_writing_is_said_in_place(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _known(data)
    Path("rows-clean.jsonl").write_text("mine")
    async with showing(data) as (app, _, pilot):
        await pilot.press("x")
        await settled(pilot)
        box = app.screen
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert "is there already" in said(box, "#said")
        assert Path("rows-clean.jsonl").read_text() == "mine"
        name = box.query_one("#output", Input)
        for value, problem in ((data, "is the data set itself"), ("no/x.jsonl", "no folder")):
            name.value = value
            await pilot.press("ctrl+s")
            await settled(pilot)
            assert problem in said(box, "#said")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        name.value = "other.jsonl"
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert "No space left on device; nothing was written" in said(box, "#said")
        assert not list(Path().glob("*other*"))
        assert app.screen is box


async def test_writing_can_be_stopped(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _known(data)
    monkeypatch.setattr(new_files, "_TELL_EVERY", 1)
    monkeypatch.setattr(new_files, "_PAUSE_SECONDS", 0.3)  # of 285 rows: a minute and more
    async with showing(data) as (app, screen, pilot):
        await pilot.press("x")
        await settled(pilot)
        box = app.screen
        await pilot.press("ctrl+s")
        await until(lambda: "%" in said(box, "#said"), pilot)
        assert "writes …" in said(box, "#said")
        await pilot.press("escape")
        await until(lambda: "stopped: nothing was written" in said(box, "#said"), pilot)
        assert app.screen is box
        assert not list(Path().glob("*clean*"))
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is screen


async def test_a_split_says_what_it_comes_to_and_writes_two_files(data: str) -> None:
    _known(data)
    async with showing(data) as (app, screen, pilot):
        await pilot.press("s")
        await settled(pilot)
        box = app.screen
        assert isinstance(box, SplitData)
        assert "285 rows to train on, 15 held out (5 %)" in said(box, "#division")
        share = box.query_one("#share", Input)
        share.value = "30"
        await settled(pilot)
        assert "270 rows to train on, 30 held out (10 %)" in said(box, "#division")
        share.value = "none"
        await settled(pilot)
        assert "is no share" in said(box, "#division")
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert "is no share" in said(box, "#said")
        share.value = "10 %"
        ways = box.query_one("#split-ways", OptionList)
        ways.highlighted = 2
        await settled(pilot)
        assert str(ways.get_option_at_index(2).prompt).startswith("▸ by label")
        assert "has no labels" in said(box, "#division")
        ways.highlighted = 1
        await settled(pilot)
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert "270 rows written to" in said(box, "#said")
        train, held = (
            Path(f"rows-{side}.jsonl").read_text().splitlines() for side in ("train", "eval")
        )
        assert (len(train), len(held)) == (270, 30)
        assert sorted(train + held) == sorted(Path(data).read_text().splitlines())
        await pilot.press("enter")
        await shown_whole(screen, pilot)
        assert "rows-train.jsonl   270 rows" in said(screen, "#headline")
        await pilot.press("n")
        await settled(pilot)
        form = app.screen
        assert isinstance(form, ConfigureScreen)
        written = form._draft.values["data"]
        assert (written["train"], written["eval"]) == ("rows-train.jsonl", "rows-eval.jsonl")


async def test_what_cannot_be_read_says_so_in_full_and_is_neither_cleaned_nor_split(
    strange: str,
) -> None:
    async with showing(strange, size=(80, 24)) as (app, screen, pilot):
        for key in ("x", "s"):
            await pilot.press(key)
            assert app.screen is screen
        assert any("it cannot be read" in note.message for note in app._notifications)
        (found,) = screen.query_one("#findings", OptionList).options
        assert screen._known is not None
        assert screen._known.summary.problem
        assert str(found.prompt).endswith(screen._known.summary.problem)


async def test_on_a_small_terminal_the_verdict_stands_over_the_lengths(data: str) -> None:
    async with showing(data, size=(80, 24)) as (_, screen, pilot):
        heights = [screen.query_one("#verdict").region.height]
        for keys in (("l", "escape"), ("v",)):  # a row has all the room
            await pilot.press(*keys)
            await pilot.pause()
            heights.append(screen.query_one("#verdict").region.height)
        assert [height > 0 for height in heights] == [False, True, False]
        assert "usable rows" in said(screen, "#verdict")


@pytest.mark.parametrize("key", ["c", "x", "s", "d"])
@SIZES
def test_boxes(
    key: str,
    data: str,
    tiny_llama: Path,
    snap_compare: Compare,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surveyed(data, tiny_llama)
    monkeypatch.setattr(helpers, "find_spec", lambda name: None)  # the same on every machine

    async def run_before(pilot: Pilot[None]) -> None:
        screen = DataScreen(data)
        pilot.app.push_screen(screen)
        await shown_whole(screen, pilot)
        await settled(pilot)
        await pilot.press(key)
        await settled(pilot)
        for name in ("#output", "#train", "#eval"):  # a folder that is another at every run
            for field in pilot.app.screen.query(name).results(Input):
                field.value = Path(field.value).name
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False  # the picture is of any moment
        await settled(pilot)

    settle: Callable[[Pilot[None]], Awaitable[None]] = run_before
    assert snap_compare(make_app(), terminal_size=size, run_before=settle)
