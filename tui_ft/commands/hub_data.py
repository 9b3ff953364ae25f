"""`ftui datasets`: data sets on the Hub that fit some words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from tui_ft import text
from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn

if TYPE_CHECKING:
    from tui_ft.hub.datasets_search import HubDataset
    from tui_ft.runs.folder import RunFolder
    from tui_ft.spec import RunSpec

_COLUMNS: Final = ("data set", "rows", "size", "licence", "downloads", "changed", "")
_MOST: Final = 100
_LONGEST_NAME: Final = 60
_LONGEST_LICENCE: Final = 20
_DAY: Final = len("2026-01-31")


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="At most so many."
)
@json_option
@for_people
def datasets(query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find data sets on the Hugging Face Hub by words of their names."""
    from tui_ft.hub.datasets_search import search_datasets

    words = " ".join(query)
    answer = search_datasets(words, limit)
    if answer.warning is not None and not answer.found:
        fail(answer.warning)
    if answer.warning is not None:
        warn(answer.warning)
    if as_json:
        say_json(answer.found)
        return
    if not answer.found:
        say(f"no data set on the Hub is called so: {text.one_line(words, _LONGEST_NAME)}")
        return
    rows = [_COLUMNS, *(_row(found) for found in answer.found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        say("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def with_rows_here(spec: RunSpec, folder: RunFolder | None) -> RunSpec:
    """Return a run with files in place of data on the Hub, fetched unless they are here.

    Args:
        spec: the run.
        folder: the run's, if it has begun: then the rows are those that it began with.

    Raises:
        RunError: the data cannot be had, and what to do.
    """
    from tui_ft.commands.inspect import show_download
    from tui_ft.runs.run_data import bring_data

    return bring_data(folder, spec, show_download, lambda: False)[0]


def _row(found: HubDataset) -> tuple[str, ...]:
    counted = text.count(found.rows) if found.rows is not None else found.rows_class
    marks = ["private"] if found.private else []
    marks += ["gated"] if found.gated else []
    marks += found.formats
    return (
        text.one_line(found.id, _LONGEST_NAME),
        counted or text.NOT_AVAILABLE,
        text.size(found.size_bytes),
        text.one_line(found.licence or text.NOT_AVAILABLE, _LONGEST_LICENCE),
        text.count(found.downloads),
        (found.last_modified or text.NOT_AVAILABLE)[:_DAY],
        ", ".join(marks),
    )
