from __future__ import annotations

import pytest
from textual.app import App

from tui_ft.widgets.signs import SIGNS, as_text, ascii_only, sign, state_content, state_sign


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "C.UTF-8", "TERM": "xterm-256color"}, False),
        ({"LANG": "de_DE.utf8"}, False),
        ({"LANG": "en_US.ISO-8859-1"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "C", "LC_ALL": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "TERM": "linux"}, True),
        ({"TERM": "dumb"}, True),
        ({"TERM": "xterm"}, False),
        ({"LANG": "en_US.UTF-8", "FTUI_ASCII": "1"}, True),
        ({"TERM": "linux", "FTUI_ASCII": "0"}, False),
    ],
)
def test_ascii_is_chosen_by_the_environment(environment: dict[str, str], expected: bool) -> None:
    assert ascii_only(environment) is expected


def test_every_sign_is_one_cell_and_has_an_ascii_twin() -> None:
    for found in SIGNS.values():
        assert len(found.symbol) == len(found.ascii) == 1
        assert found.ascii.isascii()


def test_the_signs_that_a_run_can_end_with_differ_without_colour() -> None:
    ends = ["queued", "training", "finished", "stopped", "failed"]
    for ascii in (False, True):
        assert len({state_sign(state).text(ascii=ascii) for state in ends}) == len(ends)


def test_a_state_is_sign_and_word() -> None:
    assert state_content("training", ascii=False).plain == "▶ training"
    assert state_content("crashed", ascii=True).plain == "x crashed"
    assert state_content("from the future", ascii=False).plain == "? from the future"


async def test_a_sign_in_a_table_cell_has_the_colour_of_the_theme() -> None:
    app: App[None] = App()
    async with app.run_test():
        text = as_text(sign("bad").content("failed", ascii=False))
        assert text.plain == "✖ failed"
        style = text.spans[0].style
        assert not isinstance(style, str)
        assert style.color is not None
        expected = app.get_css_variables()["error"]
        assert style.color.get_truecolor().hex.lower() == expected.lower()
