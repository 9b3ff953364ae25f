"""How commands are told which format rows have, and which column plays which part."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, get_args

import click

from tui_ft import text
from tui_ft.commands.output import fail, say, say_json
from tui_ft.vocabulary import FormatName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_ft.data.items import AnyItem
    from tui_ft.data.problems import RowProblem
    from tui_ft.survey.mapping import Column, FormatChoice

_NAME: Final = 24
_WIDTH: Final = 100

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", *get_args(FormatName)]),
    default="auto",
    help="How a row is read; found by itself.",
)

column_option = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="PART=NAME",
    help="Which column plays a part, such as prompt=question.",
)


def mapping_of(columns: Sequence[str]) -> dict[str, str]:
    """Return part -> column of what was given as `PART=NAME`."""
    return dict(_mapped(column) for column in columns)


def _mapped(column: str) -> tuple[str, str]:
    part, found, name = column.partition("=")
    if not found or not part or not name:
        raise click.BadParameter(f"`{column}` is not PART=NAME, such as prompt=question")
    return part, name


def show_mapping(
    path: str, format: FormatChoice, columns: dict[str, str], *, as_json: bool
) -> None:
    """Print the columns there are, what comes of this mapping, and how a run says it.

    Ends with exit code 1 where rows cannot be read so.
    """
    from tui_ft.survey.first_rows import first_rows
    from tui_ft.survey.mapping import as_yaml, columns_of, mapped

    rows = first_rows(path)
    found, outcome = columns_of(rows), mapped(rows, format, columns)
    lines = as_yaml(format, columns)
    if as_json:
        say_json({"columns": found, "mapped": outcome, "yaml": lines})
    else:
        for column in found:
            say(_line(column, outcome.columns))
    if outcome.format is None:
        fail(outcome.reason)
    if as_json:
        sys.exit(0 if outcome.usable else 1)
    say(f"{outcome.usable:,} of {outcome.rows:,} rows can be used as {outcome.format}")
    say(outcome.reason)
    if outcome.first is not None:
        _show_first(outcome.first)
    say()
    say(lines)
    if not outcome.usable:
        sys.exit(1)


def _line(column: Column, played: dict[str, str]) -> str:
    part = next((part for part, name in played.items() if name == column.name), "-")
    types = ", ".join(column.types) or "empty"
    samples = text.one_line(" | ".join(column.samples), _WIDTH)
    name = text.fitted(column.name, _NAME)
    return f"{name} {part:<12} {text.percent(column.filled):>6}  {types}: {samples}"


def _show_first(item: AnyItem | RowProblem) -> None:
    from tui_ft.data.problems import RowProblem
    from tui_ft.data.row_view import view_of

    if isinstance(item, RowProblem):
        say(f"first row: {item.reason}")
        return
    view = view_of(item)
    for name, said in (
        ("prompt", view.prompt),
        ("answer", view.answer),
        ("rejected", view.rejected),
        ("label", view.label),
    ):
        if said:
            say(f"  {name:<8} {text.one_line(said, _WIDTH)}")
