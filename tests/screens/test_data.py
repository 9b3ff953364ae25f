"""The Data screen on real surveys of real files, driven by keys."""

from __future__ import annotations

import json
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.idle import settled
from tests.screens.conftest import make_app
from tests.screens.showing import said, showing, shown_whole, surveyed
from tui_ft.screens.configure.screen import ConfigureScreen
from tui_ft.screens.data import opening as data_opening
from tui_ft.screens.data.screen import DataScreen
from tui_ft.survey.asking import Asked
from tui_ft.survey.packing import pack
from tui_ft.survey.request import Request
from tui_ft.widgets.help import key_help
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
        await settled(pilot)
        # The group: the row that stays, and its twin.
        assert [screen.rows.line(index, 80).split()[0] for index in (0, 1)] == ["4", "8"]
        await pilot.press("escape")
        assert screen.rows.line(0, 80).split()[0] == "1"


async def test_a_row_as_the_model_sees_it(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (_, screen, pilot):
        await pilot.press("v")
        await settled(pilot)
        shown = said(screen, "#row")
        assert shown.startswith("learned: ")
        assert "▌ Answer 0: w0x0" in shown
        assert "  What is number 0?" in shown
        await pilot.press("v")
        await settled(pilot)
        assert said(screen, "#row").startswith("a sequence of ")
        await pilot.press("v")
        await settled(pilot)
        assert '"instruction": "What is number 0?"' in said(screen, "#row")


async def test_escapes_and_markup_in_rows_arrive_harmless(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data) as (_, screen, pilot):
        assert "\x1b" not in screen.rows.line(11, 120)
        assert "red [bold]tag[/bold]␇ and so" in screen.rows.line(11, 120)
        for _ in range(11):
            await pilot.press("j")
        await settled(pilot)
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


@pytest.mark.parametrize("strerror", ["Permission denied", "File name too long"])
async def test_what_the_system_refuses_is_said(
    data: str, strerror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(request: Request) -> Asked:
        raise OSError(1, strerror, request.path)

    async with showing(data) as (app, screen, pilot):
        monkeypatch.setattr(data_opening, "Asked", asked)
        await pilot.press("e", *"closed.jsonl", "enter")
        await settled(pilot)
        assert any(f"rows.jsonl: {strerror}" in note.message for note in app._notifications)
        assert "300 rows" in said(screen, "#headline")


async def test_what_is_not_there_is_said(home: None) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("2")
        await settled(pilot)
        await pilot.press(*"none.jsonl", "enter")
        await settled(pilot)
        assert any("none.jsonl cannot be read" in note.message for note in app._notifications)
        assert "none.jsonl cannot be read" in said(app.screen, "#headline")  # a notice goes away
        await pilot.press("o")
        await settled(pilot)
        assert app.screen.query_one("#what", Input).value == "none.jsonl"  # to be mended
        await pilot.press("escape")
        await pilot.press("1")
        await settled(pilot)
        await pilot.press("2")
        await settled(pilot)
        assert isinstance(app.screen, DataScreen)


@SIZES
def test_data(data: str, tiny_llama: Path, snap_compare: Compare, size: tuple[int, int]) -> None:
    surveyed(data, tiny_llama)
    app = make_app()

    async def run_before(pilot: Pilot[None]) -> None:
        screen = DataScreen(data, str(tiny_llama))
        pilot.app.push_screen(screen)
        await shown_whole(screen, pilot)
        await settled(pilot)

    settle: Callable[[Pilot[None]], Awaitable[None]] = run_before
    assert snap_compare(app, terminal_size=size, run_before=settle)


async def test_rows_are_searched_for_a_text(data: str, tiny_llama: Path) -> None:
    async with showing(data) as (app, screen, pilot):
        table = screen.query_one(RowTable)
        box = screen.query_one("#rows-box")
        await pilot.press("slash", *"number 29", "enter")
        await settled(pilot)
        assert screen.rows.count == 11  # 29 and 290 to 299
        assert "/number 29 11 found · esc for all" in str(box.border_title)
        assert app.focused is table
        await pilot.press("escape")
        await pilot.pause()
        assert screen.rows.count == 300
        assert str(box.border_title) == "Rows"
        await pilot.press("slash", *"[bold]tag", "enter")
        await settled(pilot)
        assert screen.rows.count == 1
        assert "bold]tag 1 found" in str(box.border_title)


async def test_the_verdict_is_told_and_what_each_finding_costs(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (_, screen, _):
        from tui_ft.survey.verdict import verdict_of

        assert screen._known is not None
        verdict = verdict_of(screen._known.summary, screen._known.tokens)
        assert f"quality {verdict.quality.score} of 100" in said(screen, "#headline")
        assert said(screen, "#verdict") == verdict.sentence
        findings = screen.query_one("#findings", OptionList)
        line = str(findings.get_option("exact-duplicate").prompt)
        (lost,) = [p.points for p in verdict.quality.parts if p.finding == "exact-duplicate"]
        assert f"-{lost:.1f}" in line


async def test_figures_findings_and_rows_follow_the_max_length(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (_, screen, pilot):
        assert "recommended" in said(screen, "#lengths")
        await pilot.press("v", "l", *"40", "enter")
        await settled(pilot)
        assert screen._known is not None
        assert screen._known.tokens is not None
        cut = screen._known.tokens.at(40)
        shown = said(screen, "#lengths")
        assert "max_length 40: recommended is" in shown
        assert f"{cut.rows_share * 100:.0f} % of rows" in shown
        assert f"packed {len(_packed(screen, 40)):,} sequences" in shown
        assert "max_length 40 cuts" in said(screen, "#row")
        assert "▌max_length▌" in said(screen, "#row")
        findings = screen.query_one("#findings", OptionList)
        assert f"{cut.rows_cut:,}" in str(findings.get_option("cut-by-max-length").prompt)
        await pilot.press("l", *"x", "enter")
        await settled(pilot)
        assert any("number of tokens" in note.message for note in screen.app._notifications)
        assert screen.query_one("#asked", Input).value == "x"  # to be mended
        await pilot.press("backspace", "enter")
        await settled(pilot)
        assert ": recommended\n" in said(screen, "#lengths")


def _packed(screen: DataScreen, max_length: int) -> list[list[int]]:
    assert screen._asked is not None
    assert screen._asked.token_folder is not None
    lengths = array("I", (screen._asked.token_folder / "lengths.u32").read_bytes())
    return pack([length for length in lengths if length], max_length)


async def test_a_row_is_shown_in_the_sequence_that_it_is_packed_into(
    data: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (_, screen, pilot):
        await pilot.press("v", "v", "l", *"512", "enter")
        await settled(pilot)
        shown = said(screen, "#row").splitlines()
        (members,) = [rows for rows in _packed(screen, 512) if 0 in rows]
        assert shown[0].startswith(f"a sequence of {len(members)} rows")
        assert shown[1].count("┃") == len(members) + 1
        listed = [line for line in shown if line.startswith(("▸ row", "  row"))]
        # Row 10 is refused: from there on a row's line is its place among those packed, and one.
        assert [int(line.split()[line.split().index("row") + 1]) for line in listed] == [
            at + 1 if at < 9 else at + 2 for at in members
        ]
        borders = [line for line in shown if line.startswith("━━ row ")]
        assert len(borders) == len(members)
        monkeypatch.setenv("FTUI_ASCII", "1")
        await pilot.press("v", "v", "v", "v")
        await settled(pilot)
        assert said(screen, "#row").splitlines()[1].isascii()


async def test_rows_for_other_methods_are_not_packed(data: str, tiny_llama: Path) -> None:
    pairs = [
        {"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "No."} for n in range(20)
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    surveyed("pairs.jsonl", tiny_llama)
    async with showing("pairs.jsonl", str(tiny_llama)) as (_, screen, pilot):
        assert "max_length" in said(screen, "#lengths")
        assert "packed" not in said(screen, "#lengths")
        await pilot.press("v", "v")
        await settled(pilot)
        assert "only supervised fine-tuning packs rows" in said(screen, "#row")


async def test_a_new_run_takes_over_what_is_seen(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data, str(tiny_llama)) as (app, screen, pilot):
        screen._open(format="prompt_completion", columns={"prompt": "instruction"})
        await settled(pilot)
        await pilot.press("l", *"96", "enter", "n")
        await settled(pilot)
        form = app.screen
        assert isinstance(form, ConfigureScreen)
        spec = form._draft.spec
        assert spec is not None
        assert spec.data.train == data
        assert spec.model.name_or_path == str(tiny_llama)
        assert spec.data.format == "prompt_completion"
        assert spec.data.columns == {"prompt": "instruction"}
        assert spec.training.max_length == 96


async def test_overlap_with_evaluation_data_is_looked_for(data: str) -> None:
    lines = Path(data).read_text().splitlines()
    Path("eval.jsonl").write_text("".join(f"{line}\n" for line in lines[20:25]))
    async with showing(data) as (app, screen, pilot):
        await pilot.press("e", *"eval.jsonl", "enter")
        await settled(pilot)
        await shown_whole(screen, pilot)
        findings = screen.query_one("#findings", OptionList)
        assert " 5 " in str(findings.get_option("eval-overlap").prompt)
        await pilot.press("e", *["backspace"] * 10, *"none.jsonl", "enter")
        await settled(pilot)
        assert any("none.jsonl cannot be read" in note.message for note in app._notifications)


async def test_what_is_refused_is_offered_again_and_counts_for_nothing(
    data: str, tiny_llama: Path
) -> None:
    surveyed(data, tiny_llama)
    async with showing(data) as (app, screen, pilot):
        await pilot.press("m", *"no-model", "enter")
        await settled(pilot)
        assert any("no folder no-model" in note.message for note in app._notifications)
        assert "300 rows" in said(screen, "#headline")
        await pilot.press("m")
        assert screen.query_one("#asked", Input).value == "no-model"
        await pilot.press(
            "escape", "c"
        )  # as it was read before, without the model that is not there
        await settled(pilot)
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert len(app._notifications) == 1


async def test_help_names_every_key_of_the_screen(data: str, tiny_llama: Path) -> None:
    surveyed(data, tiny_llama)
    async with showing(data) as (app, _, _):
        bindings = [binding for binding in DataScreen.BINDINGS if isinstance(binding, Binding)]
        assert all(binding.id and binding.tooltip for binding in bindings)
        helped = {entry.description for entry in key_help(app, app.screen.active_bindings.values())}
        assert {binding.description for binding in bindings} <= helped
