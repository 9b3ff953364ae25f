"""Every help keeps to the terminal, however narrow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import click
import pytest

from tui_ft.cli import main


def _commands() -> Iterator[tuple[str, ...]]:
    yield ()
    context = click.Context(main)
    for name in main.list_commands(context):
        yield (name,)
        command = main.get_command(context, name)
        yield from ((name, inner) for inner in getattr(command, "commands", ()))


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_help_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in _commands():
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main.main([*command, "--help"], prog_name="ftui", standalone_mode=False)
        lines = said.getvalue().splitlines()
        assert "--help" in said.getvalue()
        assert max(map(len, lines)) <= columns, (command, max(lines, key=len))


def test_choices_are_all_there_on_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        main.main(["inspect", "--help"], prog_name="ftui", standalone_mode=False)
    choices = "auto|messages|prompt_completion|alpaca|text|preference|kto|prompt_only|text_label"
    assert f"--format[{choices}]" in "".join(said.getvalue().split())
