from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, OptionList, TextArea

from tests.memory.models import TINY
from tests.screens.conftest import FINISHED, MakeRun
from tests.screens.test_home import running, settled, shown, until
from tests.tiny_model import chat_rows, write_rows
from tui_ft.app import FtuiApp
from tui_ft.screens.boxes.choose_model import ChooseModel
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.screens.configure import screen as configure
from tui_ft.screens.configure.screen import ConfigureScreen
from tui_ft.screens.monitor.screen import MonitorScreen
from tui_ft.screens.starting import Start, check_run, start_run
from tui_ft.spec import RunSpec, build_spec
from tui_ft.spec.draft import Draft
from tui_ft.widgets.choose import Choose
from tui_ft.widgets.choose_gpus import ChooseGpus
from tui_ft.widgets.row_table import RowTable

BASE = {
    "name": "support",
    "model": {"name_or_path": "/models/llama"},
    "data": {"train": "/data/s.jsonl"},
}
WIDE = (140, 40)


async def opened(app: FtuiApp, pilot: Pilot[None], values: object = None) -> ConfigureScreen:
    await pilot.press("4")
    await settled(app, pilot)
    screen = app.screen
    assert isinstance(screen, ConfigureScreen)
    if isinstance(values, dict):
        screen.begin(Draft.begin(values, "a test"))
        await pilot.pause()
    return screen


async def go_to(screen: ConfigureScreen, pilot: Pilot[None], key: str) -> None:
    keys = [one.key for one in screen._fields]
    screen.query_one(RowTable).cursor = keys.index(key)
    await pilot.pause()


async def typed(pilot: Pilot[None], text: str) -> None:
    field = pilot.app.screen.query_one("#typed", Input)
    field.value = text
    await pilot.pause()
    await pilot.press("enter")
    await pilot.pause()


async def chosen(pilot: Pilot[None], box: type[Screen[Any]], name: str) -> None:
    """Say which model or data in the box that asks for it."""
    await pilot.pause()
    assert isinstance(pilot.app.screen, box)
    pilot.app.screen.query_one("#what", Input).value = name
    await pilot.press("enter")
    await pilot.pause()


def spec_of(screen: ConfigureScreen) -> RunSpec:
    assert screen._draft.spec is not None, screen._draft.problems
    return screen._draft.spec


async def test_what_has_to_be_given_is_marked_and_can_be_given(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        assert "2 faults" in shown(app, "#headline")
        await go_to(screen, pilot, "model.name_or_path")
        assert "has to be given" in shown(app, "#about-field")
        await pilot.press("enter")
        await chosen(pilot, ChooseModel, "/models/llama")
        await go_to(screen, pilot, "data.train")
        await pilot.press("enter")
        await chosen(pilot, OpenData, "rows.jsonl")
        assert "can be checked and started" in shown(app, "#headline")
        assert spec_of(screen).data.train == "rows.jsonl"
        assert "model.name_or_path: nothing → /models/llama" in shown(app, "#notes")


async def test_a_wrong_value_is_told_as_one_types_and_not_taken(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await go_to(screen, pilot, "training.learning_rate")
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "2"
        await pilot.pause()
        assert "below 1" in shown(app, "#about-field")
        await pilot.press("enter")
        await pilot.pause()
        assert screen.query_one("#typed").display
        await typed(pilot, "1e-4")
        assert not screen.query_one("#typed").display
        assert spec_of(screen).training.learning_rate == 1e-4
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "0.5"
        await pilot.press("escape")
        assert spec_of(screen).training.learning_rate == 1e-4


async def test_a_method_brings_its_fields_and_undo_takes_them_away(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await pilot.press("b")
        await go_to(screen, pilot, "method.kind")
        await pilot.press("enter")
        await pilot.pause()
        dialog = app.screen
        assert isinstance(dialog, Choose)
        await pilot.press("j", "enter")
        await pilot.pause()
        assert spec_of(screen).method.kind == "qlora"
        assert "method.bnb_4bit_quant_type" in [one.key for one in screen._fields]
        await pilot.press("u")
        await pilot.pause()
        assert "method.bnb_4bit_quant_type" not in [one.key for one in screen._fields]


async def test_a_flag_turns_and_d_gives_the_default_again(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await pilot.press("b")
        await go_to(screen, pilot, "training.packing")
        await pilot.press("enter")
        assert spec_of(screen).training.packing is True
        await pilot.press("d")
        assert spec_of(screen).training.packing is False
        assert "packing" not in str(screen._draft.values)


async def test_fields_are_found_by_what_they_mean(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await pilot.press("slash", *"decay")
        await pilot.press("enter")
        assert [one.key for one in screen._fields] == ["training.weight_decay"]
        await pilot.press("escape", "G", "slash", *"num_gpus", "enter", "enter")
        assert "hardware.num_gpus" in shown(app, "#about-field")
        field = screen.query_one("#typed", Input)
        assert field.has_focus  # the one that was found is edited, wherever the cursor stood
        await pilot.press("escape", "escape", "slash", *"[/b]")  # no markup of a title
        await pilot.pause()
        assert not screen._fields
        await pilot.press("escape")
        await pilot.pause()
        assert len(screen._fields) > 5


async def test_gpus_are_chosen_by_what_they_do(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await go_to(screen, pilot, "hardware.gpus")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, ChooseGpus)
        lines = [str(option.prompt) for option in app.screen.query_one(OptionList).options]
        assert "61.2/80.0 GiB" in lines[0]
        assert "held by anna" in lines[0]
        assert "free" in lines[1]
        await pilot.press("j", "space", "enter")
        await pilot.pause()
        assert spec_of(screen).hardware.gpus == [1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hardware": {"gpus": [0], "num_gpus": 4}}, "num_gpus"),
        ({"trainig": {}}, "trainig: unknown key"),
    ],
)
async def test_a_fault_of_no_field_is_told_beside_any_field(
    home: Path, values: dict[str, object], words: str
) -> None:
    async with running((80, 24)) as (app, pilot):
        screen = await opened(app, pilot, {**BASE, **values})
        assert "1 fault" in shown(app, "#headline")
        (fault,) = screen._draft.problems
        assert words in str(fault)
        await go_to(screen, pilot, "training.learning_rate")
        assert str(fault) in shown(app, "#about-field")


async def test_a_preset_keeps_model_and_data(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        data = {"train": "org/qa", "config": "main", "train_split": "test"}
        screen = await opened(app, pilot, {**BASE, "data": data})
        await pilot.press("p")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        names = [str(option.prompt) for option in app.screen.query_one(OptionList).options]
        app.screen.query_one(OptionList).highlighted = names.index("sft-qlora")
        await pilot.press("enter")
        await pilot.pause()
        assert spec_of(screen).method.kind == "qlora"
        assert spec_of(screen).model.name_or_path == "/models/llama"
        kept = spec_of(screen).data
        assert (kept.train, kept.config, kept.train_split) == ("org/qa", "main", "test")
        assert "from sft-qlora" in shown(app, "#headline")


async def test_yaml_and_form_are_two_views_of_one_run(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        await pilot.press("y")
        await pilot.pause()
        area = screen.query_one("#yaml", TextArea)
        assert yaml.safe_load(area.text) == BASE
        area.text = area.text + "training: {max_length: 4096}\n"
        await pilot.pause()
        assert spec_of(screen).training.max_length == 4096
        area.text = area.text + "trainig: {}\n"
        await pilot.pause()
        assert "trainig: unknown key" in shown(app, "#about-field")
        screen.on_outlook_line_looked_up()  # what was looked up behind does not hide the fault
        await pilot.pause()
        assert "trainig: unknown key" in shown(app, "#about-field")
        area.text = "model: ["
        await pilot.pause()
        assert "not valid YAML" in shown(app, "#about-field")
        await pilot.press("escape")
        await pilot.pause()
        assert screen.query_one("#fields-box").display
        assert "trainig" in shown(app, "#notes")
        await pilot.press("y")
        await pilot.pause()
        assert area.text == "model: ["  # what was typed is not lost
        assert "not valid YAML" in shown(app, "#about-field")
        await pilot.press("escape", "u", "y")
        await pilot.pause()
        assert "name_or_path: /models/llama" in area.text  # the run is another by now
        await pilot.press("escape")
        assert screen.query_one("#fields-box").display
        assert spec_of(screen).training.max_length == 4096


async def test_a_run_is_started_once_and_shown(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("support", FINISHED, steps=3)
    started: list[RunSpec] = []

    def start(spec: RunSpec, *, anyway: bool) -> Start:
        started.append(spec)
        full = Start(problems=(Content("no [b]space[/b] left"),))
        return Start(folder) if len(started) > 1 else full

    monkeypatch.setattr(configure, "start_run", start)
    async with running(WIDE) as (app, pilot):
        await opened(app, pilot, BASE)
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert "no [b]space[/b] left" in shown(app, "#answer")
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert isinstance(app.screen, MonitorScreen)
        assert [spec.name for spec in started] == ["support", "support"]
        await pilot.press("4")
        await pilot.pause()
        assert "support" in shown(app, "#headline")  # the draft is kept


async def test_what_is_faulty_is_not_started(home: Path) -> None:
    async with running(WIDE) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert "data.train" in shown(app, "#answer")
        assert isinstance(app.screen, ConfigureScreen)


async def test_what_the_run_comes_to_is_always_in_sight(
    home: Path, tmp_path: Path, tiny_llama: Path
) -> None:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(200))
    values = {"model": {"name_or_path": str(tiny_llama)}, "data": {"train": str(data)}}
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot, values)
        await until(lambda: "steps" in shown(app, "#outlook"), app, pilot)
        assert "steps 144 · tokens " in shown(app, "#outlook")  # 190 rows, 4 a step, 3 epochs
        assert "on GPU 1" in shown(app, "#outlook")
        await go_to(screen, pilot, "training.num_train_epochs")
        await pilot.press("enter")
        screen.query_one("#typed", Input).value = "1"
        await pilot.pause()
        assert "steps 48 " in shown(app, "#outlook")  # as one types
        screen.query_one("#typed", Input).value = "-1"
        await pilot.pause()
        assert shown(app, "#outlook").startswith("before the fault: memory ")
        await pilot.press("escape")
        await pilot.pause()
        assert "steps 144 " in shown(app, "#outlook")


async def test_a_step_is_replayed_for_the_memory_it_takes(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    values = {
        "model": {"name_or_path": str(tmp_path)},
        "data": {"train": "rows.jsonl"},
        "training": {"max_length": 64},
    }
    async with running(WIDE) as (app, pilot):
        await opened(app, pilot, values)
        await pilot.press("ctrl+g")
        await settled(app, pilot)
        assert "there is no file" in shown(app, "#answer")
        assert "memory: " in shown(app, "#answer")
        assert "GPU 1" in shown(app, "#answer")  # the one that it would get, not the first


async def test_what_nobody_foresaw_is_said_in_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(spec: RunSpec, *, anyway: bool) -> Start:
        raise ZeroDivisionError("[b]oops[/b]")

    monkeypatch.setattr(configure, "start_run", broken)
    async with running(WIDE) as (app, pilot):
        await opened(app, pilot, BASE)
        await pilot.press("ctrl+s")
        await settled(app, pilot)
        assert "ZeroDivisionError" in shown(app, "#answer")
        assert "[b]oops[/b]" in shown(app, "#answer")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"data": {"train": "/nowhere/data.jsonl"}}, "there is no file /nowhere/data.jsonl"),
        ({"model": {"name_or_path": "/nowhere/model"}}, "there is no folder /nowhere/model"),
        ({"hardware": {"num_gpus": 16}}, "hardware.num_gpus: 16 takes 16 GPUs or more"),
        ({"hardware": {"gpus": [99]}}, "GPU 99 is not in this machine"),
        ({"data": {"train": f"/tmp/{'a' * 300}"}}, "File name too long"),
    ],
)
def test_what_stands_against_a_run_is_told_before_it_starts(
    home: Path, spec: dict[str, object], words: str
) -> None:
    start = start_run(build_spec({**BASE, **spec}), anyway=True)
    assert start.folder is None
    assert any(words in line.plain for line in start.problems)
    checked = check_run(build_spec({**BASE, **spec}), None)
    assert any(words in line.plain for line in checked)


async def test_enter_is_named_only_where_it_edits_a_field(home: Path) -> None:
    async with running((80, 24)) as (app, pilot):
        screen = await opened(app, pilot, BASE)
        named = [one.binding.action for one in screen.active_bindings.values()]
        assert "edit" in named
        await pilot.press("y")
        await pilot.pause()
        assert "edit" not in [one.binding.action for one in screen.active_bindings.values()]


@pytest.mark.parametrize("preset", ["ppo-lora", "grpo-lora"])
async def test_on_a_small_terminal_a_preset_says_when_to_use_it(home: Path, preset: str) -> None:
    async with running((80, 24)) as (app, pilot):
        await opened(app, pilot, BASE)
        await pilot.press("p")
        await pilot.pause()
        options = app.screen.query_one(OptionList)
        options.highlighted = [str(one.prompt) for one in options.options].index(preset)
        await pilot.pause()
        said = app.screen.query_one("#choice-help")
        assert said.region.bottom < said.parent.region.bottom  # type: ignore[union-attr]
        for size in ((60, 16), (200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            at, top = options.highlighted, options.scroll_offset.y
            assert at is not None
            assert top <= at < top + options.size.height, size
