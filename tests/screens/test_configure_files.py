"""Configure: what is written to files and read from them, in `$EDITOR` too."""

from __future__ import annotations

import stat
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from textual.widgets import Input, TextArea
from textual.widgets._footer import FooterKey

from tests.screens.test_configure import BASE, WIDE, go_to, opened, spec_of, typed
from tests.screens.test_home import running, settled, shown
from tui_ft.screens.configure import screen as configure
from tui_ft.spec import load_spec
from tui_ft.spec.draft import Draft
from tui_ft.widgets.confirm import Confirm


async def test_it_is_written_to_a_file_and_none_is_replaced_unasked(
    home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await pilot.press("w")
        await typed(pilot, str(file))
        assert load_spec(file) == spec_of(screen)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await go_to(screen, pilot, "training.max_length")
        await pilot.press("enter")
        await typed(pilot, "512")
        await pilot.press("w")
        await typed(pilot, str(file))
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await pilot.pause()
        assert load_spec(file).training.max_length == 1024
        assert screen.query_one("#typed", Input).value == str(file)  # to be written elsewhere
        await pilot.press("enter")
        await pilot.press("y")
        await pilot.pause()
        assert load_spec(file).training.max_length == 512


async def test_a_preset_of_ones_own_needs_to_say_when_to_use_it(home: Path, tmp_path: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await pilot.press("P")
        await pilot.pause()
        assert not screen.query_one("#typed").display
        screen.begin(Draft.begin({**BASE, "description": "for support"}, "a test"))
        await pilot.press("P")
        await typed(pilot, "support")
        written = yaml.safe_load((tmp_path / "config" / "presets" / "support.yaml").read_text())
        assert written["description"] == "for support"


async def test_a_file_is_opened_and_a_bad_one_refused_with_its_line(
    home: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "run.yaml", tmp_path / "bad.yaml"
    good.write_text(yaml.safe_dump({**BASE, "method": {"kind": "full"}}))
    bad.write_text("model: [")
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("o")
        await typed(pilot, str(good))
        assert spec_of(screen).method.kind == "full"
        assert "from run.yaml" in shown(app, "#headline")
        await pilot.press("o")
        await typed(pilot, str(bad))
        assert any("bad.yaml:1" in note.message for note in app._notifications)
        assert spec_of(screen).method.kind == "full"


async def test_the_editor_gives_the_run_back(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "edit"
    editor.write_text("#!/bin/sh\nsed -i 's/support/renamed/' \"$1\"\n")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    async with running(WIDE) as (app, pilot):
        monkeypatch.setattr(app, "suspend", nullcontext)  # there is no terminal to give away
        screen = await opened(app, pilot, BASE)
        await pilot.press("e")
        await pilot.pause()
        assert spec_of(screen).name == "renamed"
        monkeypatch.setenv("VISUAL", "/nowhere/editor")
        await pilot.press("e")
        await pilot.pause()
        assert any("/nowhere/editor" in note.message for note in app._notifications)
        assert spec_of(screen).name == "renamed"


async def test_what_the_editor_left_broken_is_shown_to_be_mended(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "edit"
    editor.write_text("#!/bin/sh\necho 'training: [' >> \"$1\"\n")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    async with running(WIDE) as (app, pilot):
        monkeypatch.setattr(app, "suspend", nullcontext)
        screen = await opened(app, pilot, BASE)
        await pilot.press("e")
        await pilot.pause()
        area = screen.query_one("#yaml", TextArea)
        assert area.has_focus
        assert area.text.endswith("training: [\n")
        assert "not valid YAML" in shown(app, "#about-field")
        area.text = area.text.replace("[", "{max_length: 512}")
        await pilot.pause()
        assert spec_of(screen).training.max_length == 512


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("w", "/dev/null/run.yaml", "/dev/null/run.yaml cannot be written"),
        ("w", "/tmp", "/tmp is a folder"),
        ("w", f"/tmp/{'a' * 300}", "File name too long"),
        ("o", "/nowhere/run.yaml", "/nowhere/run.yaml: cannot be read"),
        ("P", "mine/support", "no `/`"),
    ],
)
async def test_a_name_that_does_not_do_stays_to_be_mended(
    home: Path, key: str, value: str, words: str
) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, {**BASE, "description": "for support"})
        await pilot.press(key)
        await typed(pilot, value)
        assert any(words in note.message for note in app._notifications)
        field = screen.query_one("#typed", Input)
        assert field.has_focus
        assert field.value == value
        await typed(pilot, "")
        assert field.display  # no name is no answer
        await pilot.press("escape")
        assert not field.display


async def test_what_is_typed_is_taken_before_it_is_started_and_its_keys_are_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(configure, "start_run", lambda spec, **how: started.append(spec))
    async with running((80, 24)) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await go_to(screen, pilot, "training.num_train_epochs")
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "7"
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert started == []
        assert "`enter` takes what is typed" in str([n.message for n in app._notifications])
        told = [f"{k.key_display} {k.description}" for k in screen.query(FooterKey)]
        assert told == ["⏎ Take it", "esc Leave", "^s Start"]
        await pilot.press("escape")
        await settled(app, pilot)
        assert [k.description for k in screen.query(FooterKey)][-1] == "Help"


async def test_each_objective_says_what_it_is(home: Path) -> None:
    async with running((80, 24)) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await go_to(screen, pilot, "objective.kind")
        await pilot.press("enter")
        await settled(app, pilot)
        assert "Supervised fine-tuning" in shown(app, "#choice-help")
        await pilot.press("j", "j")
        await settled(app, pilot)
        assert "which of two answers is better" in shown(app, "#choice-help")  # dpo
