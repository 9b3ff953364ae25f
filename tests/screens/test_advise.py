from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.advise.given import Arithmetic, situation_of
from tests.screens.test_home import drawn, running, settled, shown, until
from tests.tiny_model import chat_rows, write_rows
from tui_ft.advise.situation import Situation
from tui_ft.app import FtuiApp
from tui_ft.chains import life
from tui_ft.chains.check import StageFindings
from tui_ft.chains.folder import ChainFolder
from tui_ft.data import DataError
from tui_ft.plan.gathering import Listener, Sought
from tui_ft.screens.advise import screen as advise
from tui_ft.screens.advise.screen import AdviseScreen
from tui_ft.screens.boxes import start_chain
from tui_ft.screens.boxes.choose_model import ChooseModel
from tui_ft.screens.boxes.open_data import OpenData
from tui_ft.screens.boxes.start_chain import StartChain
from tui_ft.screens.configure.screen import ConfigureScreen
from tui_ft.spec import load_spec
from tui_ft.spec.chain import Chain, load_chain
from tui_ft.widgets.choose import Choose
from tui_ft.widgets.row_table import RowTable

WIDE = (170, 50)
GIVEN = {"goal": "style", "model": "llama-8b-chat", "data": "answers-5k", "gpus": 24}


@pytest.fixture
def given(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sought]:
    """Let gathering end at once in a known situation; return what was sought."""
    sought: list[Sought] = []

    def gather(asked: Sought, listener: Listener) -> Situation:
        sought.append(asked)
        listener.lacking("its tokens are not counted")
        gpus: dict[str, Any] = {"gpus": asked.gpu} if asked.gpu else {}
        return situation_of(GIVEN | gpus)

    monkeypatch.setattr(advise, "gather", gather)
    monkeypatch.setattr(advise, "estimator", Arithmetic)
    return sought


async def opened(app: FtuiApp, pilot: Pilot[None]) -> AdviseScreen:
    await pilot.press("3")
    await name(app, pilot, "org/llama-8b-chat", "rows.jsonl")
    screen = app.screen
    assert isinstance(screen, AdviseScreen)
    return screen


async def name(app: FtuiApp, pilot: Pilot[None], model: str, data: str) -> None:
    """Say which model and data in the boxes that ask for them."""
    for box, value in ((ChooseModel, model), (OpenData, data)):
        await pilot.pause()
        assert isinstance(app.screen, box)
        app.screen.query_one("#what", Input).value = value
        await pilot.press("enter")
    await settled(app, pilot)


async def go_to(screen: AdviseScreen, pilot: Pilot[None], node: str) -> None:
    nodes = [line.node.node if line.node else "" for line in screen._lines]
    screen.query_one(RowTable).cursor = nodes.index(node)
    await pilot.pause()


async def answer(app: FtuiApp, pilot: Pilot[None], choice: str) -> None:
    await pilot.press("enter")
    await pilot.pause()
    assert isinstance(app.screen, Choose)
    values = [str(option.prompt) for option in app.screen.query_one(OptionList).options]
    app.screen.query_one(OptionList).highlighted = values.index(choice)
    await pilot.press("enter")
    await settled(app, pilot)


async def test_advice_shows_its_path_what_fits_and_the_run(given: list[Sought]) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        assert given == [Sought(model="org/llama-8b-chat", data="rows.jsonl")]
        assert "supervised fine-tuning" in shown(app, "#headline")
        assert "LoRA" in shown(app, "#ways")
        assert "QLoRA" in shown(app, "#ways")
        assert "training.learning_rate: " in shown(app, "#run")
        stages = [line.stage for line in screen._lines if line.node is None]
        assert stages == ["approach", "objective", "method", "hyper-parameters"]
        await go_to(screen, pilot, "goal")
        assert "asked" in shown(app, "#about-node")
        await go_to(screen, pilot, "rows")
        assert "source: " in shown(app, "#about-node")


async def test_another_answer_changes_the_rest_and_can_be_taken_back(given: list[Sought]) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        before = screen._advice
        assert before is not None
        await go_to(screen, pilot, "method")
        await answer(app, pilot, "qlora")
        assert screen._advice is not None
        assert screen._advice.method == "qlora"
        assert screen._advice.run is not None
        assert screen._advice.run.method.kind == "qlora"
        assert screen._node is not None
        assert screen._node.node == "method"  # the cursor stays where it was
        assert f"the tree would say `{before.method}`" in shown(app, "#about-node")
        await pilot.press("d")
        await settled(app, pilot)
        assert screen._advice == before


async def test_a_number_can_be_typed_and_a_wrong_one_is_refused(given: list[Sought]) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "rank")
        await answer(app, pilot, "another number …")
        screen.query_one("#typed", Input).value = "24"
        await pilot.press("enter")
        await settled(app, pilot)
        assert screen._advice is not None
        assert screen._advice.run is not None
        assert screen._advice.run.method.model_dump()["r"] == 24
        await answer(app, pilot, "another number …")
        screen.query_one("#typed", Input).value = "many"
        await pilot.press("enter")
        await settled(app, pilot)
        assert screen._advice.run.method.model_dump()["r"] == 24
        assert screen.query_one("#typed", Input).value == "many"  # to be mended
        assert screen.query_one("#typed").display


async def test_advice_for_other_gpus_keeps_what_was_answered(given: list[Sought]) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "method")
        await answer(app, pilot, "qlora")
        await pilot.press("h")
        field = screen.query_one("#typed", Input)
        field.value = "big"
        await pilot.press("enter")
        await settled(app, pilot)
        assert "big: write the memory of one in GB" in _told(app)
        assert screen._advice is not None
        assert field.display
        assert field.value == "big"
        assert len(given) == 1  # what was advised stays
        field.value = "8x80"
        await pilot.press("enter")
        await settled(app, pilot)
        assert given[-1].gpu == "8x80"
        assert screen._advice is not None
        assert screen._advice.method == "qlora"


async def test_another_model_needs_no_other_data_and_is_taken_only_with_them(
    given: list[Sought],
) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        await go_to(screen, pilot, "method")
        await answer(app, pilot, "qlora")
        await pilot.press("o")
        await pilot.pause()
        app.screen.query_one("#what", Input).value = "org/other"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, OpenData)
        assert app.screen.query_one("#what", Input).value == "rows.jsonl"
        await pilot.press("escape", "h", "enter")
        await settled(app, pilot)
        assert given[-1].model == "org/llama-8b-chat"
        await pilot.press("o")
        await name(app, pilot, "org/other", "rows.jsonl")
        assert given[-1] == Sought(model="org/other", data="rows.jsonl")
        assert screen._advice is not None
        assert screen._advice.method != "qlora"  # those answers were on the other


async def test_data_that_are_looked_at_are_advised_on_as_they_are_read(
    given: list[Sought],
) -> None:
    columns = {"prompt": "frage", "completion": "antwort"}
    async with running(WIDE) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("1")
        app.advise("", "other.jsonl", columns)
        await pilot.pause()
        shown_then: list[type] = [type(app.screen)]
        await pilot.press("enter")
        await settled(app, pilot)
        shown_then.append(type(app.screen))
        assert shown_then == [ChooseModel, AdviseScreen]  # of the model alone it is asked
        asked = Sought(model="org/llama-8b-chat", data="other.jsonl", columns=columns)
        assert given[-1] == asked
        app.advise("org/other", "rows.jsonl", {})
        await settled(app, pilot)
        assert given[-1] == Sought(model="org/other", data="rows.jsonl")  # no columns of others


def _told(app: FtuiApp) -> str:
    return str([note.message for note in app._notifications])


async def test_the_run_goes_into_configure_with_its_reasons(given: list[Sought]) -> None:
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        assert screen._advice is not None
        advised = screen._advice.run
        await pilot.press("c")
        await settled(app, pilot)
        form = app.screen
        assert isinstance(form, ConfigureScreen)
        assert form._draft.spec == advised
        assert "from the advice" in shown(app, "#headline")
        keys = [one.key for one in form._fields]
        form.query_one(RowTable).cursor = keys.index("training.learning_rate")
        await pilot.pause()
        assert "why: " in shown(app, "#about-field")
        await pilot.press("3")
        await pilot.pause()
        assert isinstance(app.screen, AdviseScreen)  # as it was left
        assert "LoRA" in shown(app, "#ways")


async def test_the_run_is_written_and_nothing_replaced(given: list[Sought], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        for _ in range(2):
            await pilot.press("w")
            screen.query_one("#typed", Input).value = str(file)
            await pilot.press("enter")
            await settled(app, pilot)
        assert screen._advice is not None
        assert load_spec(file) == screen._advice.run
        assert "is there already" in _told(app)
        field = screen.query_one("#typed", Input)
        assert field.value == str(file)  # to be mended
        assert field.has_focus
        field.value = "/dev/null/run.yaml"
        await pilot.press("enter")
        assert "/dev/null/run.yaml cannot be written" in _told(app)
        assert field.has_focus


@pytest.mark.parametrize(
    "error",
    [
        DataError("there is no file [b]rows.jsonl[/b]"),
        PermissionError(13, "there is no file [b]rows.jsonl[/b]"),
    ],
)
async def test_what_cannot_be_gathered_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def gather(asked: Sought, listener: Listener) -> Situation:
        raise error

    monkeypatch.setattr(advise, "gather", gather)
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        assert "there is no file [b]rows.jsonl[/b]" in shown(app, "#headline")
        assert not screen._lines


async def test_advice_on_other_data_goes_when_those_cannot_be_read(
    given: list[Sought], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(asked: Sought, listener: Listener) -> Situation:
        raise DataError("there is no file other.jsonl")

    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        monkeypatch.setattr(advise, "gather", gather)
        await pilot.press("o")
        await name(app, pilot, "org/llama-8b-chat", "other.jsonl")
        assert not screen._lines
        assert (shown(app, "#ways"), shown(app, "#run"), shown(app, "#about-node")) == ("",) * 3


async def test_on_a_small_terminal_panes_take_turns(given: list[Sought]) -> None:
    async with running((80, 24)) as (app, pilot):
        screen = await opened(app, pilot)
        seen = []
        for _ in range(4):
            boxes = ("#path-box", "#ways-box", "#run-box")
            seen.append([box for box in boxes if screen.query_one(box).region.height > 0])
            await pilot.press("v")
            await pilot.pause()
        assert seen == [["#path-box"], ["#ways-box"], ["#run-box"], ["#path-box"]]
        assert screen._advice is not None
        ways = " ".join(shown(app, "#ways").split())
        for one in screen._advice.candidates:  # nothing is cut off for good
            assert one.name in ways
            assert (one.problem or one.why_not) in ways


async def test_real_data_and_a_real_model_without_a_gpu(
    home: Path, tmp_path: Path, tiny_llama: Path
) -> None:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(300))
    async with running(WIDE) as (app, pilot):
        await pilot.press("3")
        await name(app, pilot, str(tiny_llama), str(data))
        screen = app.screen
        assert isinstance(screen, AdviseScreen)
        await until(lambda: screen._advice is not None, app, pilot)
        await go_to(screen, pilot, "examples")
        assert "300" in shown(app, "#about-node")


async def test_a_chain_is_shown_written_and_started_once_it_was_seen(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"goal": "reasoning", "model": "llama-8b", "data": "math-7k", "gpus": 80}
    monkeypatch.setattr(advise, "gather", lambda asked, listener: situation_of(said))
    monkeypatch.setattr(advise, "estimator", Arithmetic)
    started: list[str] = []

    def start(chain: Chain) -> ChainFolder:
        started.append(chain.name)
        return ChainFolder(tmp_path / chain.name)

    def check(chain: Chain, *, memory: bool) -> list[StageFindings]:
        return [StageFindings(one.name, ()) for one in chain.stages]

    monkeypatch.setattr(life, "start", start)
    monkeypatch.setattr(start_chain, "check_chain", check)
    file = tmp_path / "chain.yaml"
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        shown_run = shown(app, "#run")
        assert "chain llama-8b-math-7k: `ctrl+s` starts it, `w` writes it" in shown_run
        assert "2 grpo  group relative policy optimisation (GRPO), lora: " in shown_run
        await pilot.press("w")
        screen.query_one("#typed", Input).value = str(file)
        await pilot.press("enter")
        await settled(app, pilot)
        assert [stage.name for stage in load_chain(file).stages] == ["sft", "grpo"]
        for key, wanted in (("escape", []), ("ctrl+s", ["llama-8b-math-7k"])):
            await pilot.press("ctrl+s")
            await settled(app, pilot)
            assert isinstance(app.screen, StartChain)
            assert "; grpo " in shown(app, "#stages")  # what it takes
            assert "2 grpo  grpo lora" in shown(app, "#stages")
            await pilot.press(key)
            await settled(app, pilot)
            assert started == wanted


async def test_a_single_run_is_no_chain_to_start(given: list[Sought]) -> None:
    async with running(WIDE) as (app, pilot):
        await opened(app, pilot)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "this is one run" in str([note.message for note in app._notifications])


async def test_a_reward_is_named_where_the_rows_have_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"goal": "preference", "model": "llama-8b-chat", "data": "prompts-5k", "gpus": 80}
    monkeypatch.setattr(advise, "gather", lambda asked, listener: situation_of(said))
    monkeypatch.setattr(advise, "estimator", Arithmetic)
    async with running(WIDE) as (app, pilot):
        screen = await opened(app, pilot)
        assert screen._advice is not None
        assert list(screen._advice.fill) == ["objective.rewards"]
        await go_to(screen, pilot, "reward")
        await answer(app, pilot, "one that you name …")
        screen.query_one("#typed", Input).value = "my-reward-run"
        await pilot.press("enter")
        await settled(app, pilot)
        advice = screen._advice
        assert (list(advice.fill), advice.objective) == ([], "rloo")
        run = advice.run
        assert run is not None
        (reward,) = run.model_dump()["objective"]["rewards"]
        assert (reward["kind"], reward["model"]) == ("reward_model", "my-reward-run")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_nothing_that_is_said_of_a_question_is_cut(
    given: list[Sought], size: tuple[int, int]
) -> None:
    async with running(size) as (app, pilot):
        screen = await opened(app, pilot)
        assert screen._advice is not None
        for node in screen._advice.path:
            await go_to(screen, pilot, node.node)
            about = screen.query_one("#about-node")
            drawn_words = " ".join(drawn(about).split())
            told = shown(app, "#about-node")
            assert drawn_words == " ".join(told.split())
            assert node.reason.split()[-1] in told
            if node.others:
                assert "enter answers otherwise" in told
        many = max(screen._advice.path, key=lambda node: len(node.others))
        await go_to(screen, pilot, many.node)
        if size == (60, 16):
            assert " more" in shown(app, "#about-node")
