from __future__ import annotations

import pytest
from textual.app import App
from textual.widgets import Button

from tui_ft.widgets.confirm import Confirm


class ConfirmApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bool | None] = []

    def ask(self, *, destructive: bool = True) -> None:
        question = Confirm(
            "Delete run [red]demo[/red]?",
            "Its checkpoints are lost.\x1b[2J",
            "Delete",
            destructive=destructive,
        )
        self.push_screen(question, self.answers.append)


def visible(app: App[None]) -> str:
    return "\n".join(s.text for s in app.screen._compositor.render_strips(app.size))


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["enter"], False),
        (["escape"], False),
        (["n"], False),
        (["y"], True),
        (["tab", "enter"], True),
        (["right", "enter"], True),
        (["right", "left", "enter"], False),
    ],
)
async def test_only_a_deliberate_answer_destroys(keys: list[str], answer: bool) -> None:
    app = ConfirmApp()
    async with app.run_test() as pilot:
        app.ask()
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        assert app.answers == [answer]


async def test_what_does_no_harm_may_be_confirmed_with_enter() -> None:
    app = ConfirmApp()
    async with app.run_test() as pilot:
        app.ask(destructive=False)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.answers == [True]


async def test_question_consequence_and_verb_are_shown_as_plain_text() -> None:
    app = ConfirmApp()
    async with app.run_test(size=(60, 16)) as pilot:
        app.ask()
        await pilot.pause()
        shown = visible(app)
        assert "Delete run [red]demo[/red]?" in shown
        assert "Its checkpoints are lost." in shown
        assert "Delete (y)" in shown
        assert "No (n)" in shown


async def test_a_click_answers() -> None:
    app = ConfirmApp()
    async with app.run_test() as pilot:
        app.ask()
        await pilot.pause()
        await pilot.click("#yes")
        await pilot.pause()
        assert app.answers == [True]
        assert not app.screen.query(Button)
