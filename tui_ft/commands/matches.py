"""Print the rows of a data set that hold a text."""

from __future__ import annotations

import sys
from array import array
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from tui_ft import text
from tui_ft.commands.output import leave_when_unread, say, say_json

if TYPE_CHECKING:
    from tui_ft.data import Row
    from tui_ft.survey.summary import Summary

_AT_ONCE: Final = 64
_WIDTH: Final = 200


def print_matches(folder: Path, summary: Summary, query: str, *, as_json: bool) -> None:
    """Print line and content of each row that holds ``query``; end with exit code 1 without any."""
    from tui_ft.data import Row
    from tui_ft.survey.rows import SurveyedRows
    from tui_ft.survey.searching import search_rows

    positions: array[int] = array("Q")
    for found in search_rows(folder, summary, query):
        positions = found.positions
    with SurveyedRows(Path(summary.rows_file), folder) as surveyed:
        ordered = iter(positions)
        while chunk := list(islice(ordered, _AT_ONCE)):
            for row in surveyed.rows(chunk):
                if isinstance(row, Row):
                    _print(row, as_json=as_json)
                    leave_when_unread()
    if not as_json:
        say(f"{len(positions):,} of {summary.rows:,} rows hold it")
    if not positions:
        sys.exit(1)


def _print(row: Row, *, as_json: bool) -> None:
    if as_json:
        say_json({"line": row.line, "row": row.values})
    else:
        content = orjson.dumps(row.values).decode()
        say(f"{row.line}: {text.one_line(content, _WIDTH)}")
