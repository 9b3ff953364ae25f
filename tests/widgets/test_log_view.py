from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from tui_ft.widgets.log_view import LogView, harmless


class LogApp(App[None]):
    def __init__(self, max_lines: int = 5_000) -> None:
        super().__init__()
        self.log_view = LogView(max_lines=max_lines)

    def compose(self) -> ComposeResult:
        yield self.log_view


def visible(app: App[None]) -> str:
    return "\n".join(s.text for s in app.screen._compositor.render_strips(app.size))


def numbered(start: int, stop: int) -> list[str]:
    return [f"line {i}." for i in range(start, stop)]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("saved checkpoint-20\n", "saved checkpoint-20"),
        ("\r 10 %|#\r 20 %|##\r", " 20 %|##"),
        ("\x1b[31mred\x1b[0m \x07", "red ␇"),
        ("a\tb", "a    b"),
        ("[bold]kept[/bold]", "[bold]kept[/bold]"),
        ("", " "),
        ("\x1b[2J", " "),
    ],
)
def test_a_foreign_line_is_made_harmless(line: str, shown: str) -> None:
    assert harmless(line) == shown


def test_an_endless_line_ends() -> None:
    assert len(harmless("x" * 1_000_000)) == 2_001


async def test_the_tail_is_followed() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.log_view.append_lines(numbered(0, 100))
        await pilot.pause()
        assert "line 99." in visible(app)
        app.log_view.append_lines(numbered(100, 150))
        await pilot.pause()
        assert "line 149." in visible(app)
        assert "scrolled up" not in visible(app)


async def test_scrolled_up_it_stands_still_until_end_is_pressed() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.log_view.append_lines(numbered(0, 100))
        await pilot.pause()
        await pilot.press("home")
        await pilot.pause()
        app.log_view.append_lines(numbered(100, 150))
        await pilot.pause()
        assert "line 0." in visible(app)
        assert "scrolled up: end follows" in visible(app)
        await pilot.press("end")
        await pilot.pause()
        assert "line 149." in visible(app)
        assert "scrolled up" not in visible(app)


async def test_the_tail_is_followed_through_sizes_and_while_it_is_hidden() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 40)) as pilot:
        app.log_view.append_lines(numbered(0, 20))  # there is room for all of them
        await pilot.pause()
        app.log_view.display = False
        await pilot.pause()
        app.log_view.append_lines(numbered(20, 60))
        await pilot.pause()
        await pilot.resize_terminal(40, 12)
        app.log_view.display = True
        await pilot.pause()
        assert "line 59." in visible(app)
        app.log_view.append_lines(numbered(60, 61))
        for height in (30, 8):
            await pilot.resize_terminal(40, height)
            await pilot.pause()
            assert "line 60." in visible(app)
            assert "scrolled up" not in visible(app)


async def test_lines_that_fall_off_the_top_do_not_move_what_is_read() -> None:
    app = LogApp(max_lines=100)
    async with app.run_test(size=(40, 12)) as pilot:
        app.log_view.append_lines(numbered(0, 100))
        await pilot.pause()
        app.log_view.scroll_to(y=60, animate=False, immediate=True)
        await pilot.pause()
        assert "line 60." in visible(app)
        app.log_view.append_lines(numbered(100, 130))
        await pilot.pause()
        assert app.log_view.line_count == 100
        assert "line 60." in visible(app)


async def test_empty_lines_are_kept_and_an_empty_batch_is_nothing() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.log_view.append_lines(["a", "", "b"])
        app.log_view.append_lines([])
        await pilot.pause()
        assert app.log_view.line_count == 3


async def test_what_is_longer_than_the_pane_is_wide_is_read_by_going_right() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.log_view.append_lines([f"{'a' * 50}the end", *numbered(0, 30)])
        app.log_view.focus()
        await pilot.press("g")
        await pilot.pause()
        assert "aaa" in visible(app)
        assert "the end" not in visible(app)
        await pilot.press("right", "right")
        await pilot.pause()
        assert "the end" in visible(app)
        await pilot.press("left", "left")
        await pilot.pause()
        assert app.log_view.scroll_offset.x == 0
