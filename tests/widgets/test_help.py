from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from tui_ft.widgets.chart import LineChart
from tui_ft.widgets.help import HelpScreen, key_help


class HelpApp(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", tooltip="Show these keys", id="app.help")
    ]

    def compose(self) -> ComposeResult:
        yield LineChart("loss")

    def action_help(self) -> None:
        self.push_screen(HelpScreen.of(self.screen))


def visible(app: App[None]) -> str:
    return "\n".join(s.text for s in app.screen._compositor.render_strips(app.size))


async def test_help_lists_every_active_key_once_with_its_tooltip() -> None:
    app = HelpApp()
    async with app.run_test() as pilot:
        await pilot.pause()
        keys = key_help(app, app.screen.active_bindings.values())
        found = {(key.group, key.description): key for key in keys}
        assert len(found) == len(keys)
        zoom = found["Chart", "Zoom in"]
        assert zoom.keys == "+"
        assert zoom.tooltip.startswith("Show half as many steps")
        assert found["Chart", "All"].keys == "0 home"
        assert found["Everywhere", "Help"].tooltip == "Show these keys"
        assert ("Chart", "X axis") not in found


async def test_help_opens_on_what_is_below_and_closes_again() -> None:
    app = HelpApp()
    async with app.run_test(size=(90, 44)) as pilot:
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        shown = visible(app)
        assert "Zoom in" in shown
        assert "Read values at one step" in shown
        assert "measured" in shown
        for key in ("escape", "question_mark", "q"):
            await pilot.press(key)
            await pilot.pause()
            assert not isinstance(app.screen, HelpScreen)
            await pilot.press("question_mark")
            await pilot.pause()


async def test_help_fits_a_small_terminal_and_scrolls() -> None:
    app = HelpApp()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        before = visible(app)
        await pilot.press("j", "j", "j")
        await pilot.pause()
        assert visible(app) != before
