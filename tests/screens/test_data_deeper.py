"""What is looked for in data only when asked: it takes other libraries, or a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from tests.idle import settled, until
from tests.screens.conftest import make_app
from tests.screens.showing import said, showing, shown_whole
from tui_ft.screens.data.deeper import LookDeeper
from tui_ft.screens.data.findings import FindingsPane
from tui_ft.screens.data.screen import DataScreen
from tui_ft.survey import helpers


def _found(screen: DataScreen) -> str:
    return "\n".join(line.plain for line in screen.query_one(FindingsPane)._lines)


async def test_offensive_language_is_looked_for_when_asked_and_in_no_other_file(
    data: str,
) -> None:
    pytest.importorskip("profanity_check")
    rows = Path(data).read_text().splitlines(keepends=True)
    rude = '{"instruction": "Hm?", "output": "Shut up you stupid bitch"}\n'
    Path(data).write_text("".join([*rows[:40], rude]))
    Path("other.jsonl").write_text("".join(rows[:20]))
    async with showing(data) as (_, screen, pilot):
        assert "offensive language" not in _found(screen)
        await pilot.press("d", "j", "space", "ctrl+s")
        await until(lambda: screen._request.toxicity, pilot)
        await until(lambda: screen._asked is not None and screen._asked.request.toxicity, pilot)
        await shown_whole(screen, pilot)
        (line,) = (one for one in _found(screen).splitlines() if "offensive language" in one)
        assert line.split()[1:4] == ["1", "2.4", "%"]
        assert "looked for offensive language" in said(screen, "#headline")
        screen._open(path="other.jsonl")
        await until(
            lambda: screen._asked is not None and screen._asked.request.path == "other.jsonl", pilot
        )
        await shown_whole(screen, pilot)
        assert screen._asked is not None
        assert not screen._asked.request.toxicity
        assert "looked for" not in said(screen, "#headline")


async def test_a_library_that_is_missing_is_told_with_what_installs_it(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "find_spec", lambda name: None)
    async with showing(data, size=(80, 24)) as (app, screen, pilot):
        await pilot.press("d")
        await settled(pilot)
        assert isinstance(app.screen, LookDeeper)
        for extra in ("pii", "toxicity"):
            assert f"pip install 'tui-ft[{extra}]'" in said(app.screen, "#missing")
        await pilot.press("space")
        await settled(pilot)
        assert "presidio-analyzer, which is not installed" in said(app.screen, "#missing")
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert screen._request.extras == ()


async def test_what_is_no_encoder_stays_to_be_mended(data: str, tiny_llama: Path) -> None:
    async with showing(data, size=(80, 24)) as (app, screen, pilot):
        await pilot.press("d")
        await settled(pilot)
        for name, words in (("/nowhere", "hf download"), (str(tiny_llama), "no encoder")):
            app.screen.query_one(Input).value = name
            await pilot.press("ctrl+s")
            await settled(pilot)
            assert isinstance(app.screen, LookDeeper)
            assert words in said(app.screen, "#missing")
        await pilot.press("escape")
        assert screen._request.embed is None


async def test_a_survey_that_takes_long_can_be_stopped(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("presidio_analyzer")
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def sleep(command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        started.append(begin([sys.executable, "-c", "import time; time.sleep(900)"], **how))
        return started[-1]

    async with showing(data) as (app, screen, pilot):
        found = _found(screen)
        monkeypatch.setattr(subprocess, "Popen", sleep)
        await pilot.press("d", "space", "ctrl+s")
        await until(lambda: screen._asked is not None and screen._asked.request.pii, pilot)
        assert not screen.is_shown_whole()
        await pilot.press("S")
        await until(lambda: started[0].poll() is not None, pilot)
        await until(lambda: screen._asked is not None and not screen._asked.request.pii, pilot)
        await shown_whole(screen, pilot)
        assert _found(screen) == found  # nothing is lost, and nothing is read anew
        assert len(started) == 1
        await pilot.press("S")
        await pilot.pause()
        assert "nothing is being looked for" in str([n.message for n in app._notifications])


async def test_there_is_nothing_to_look_into_before_data_are_open(home: Path) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("2", "escape", "d", "S")
        await pilot.pause()
        assert "no data set is open yet" in str([n.message for n in app._notifications])
