"""Search the rows of a surveyed data set for a text, a few hundred at a time."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_ft.data import Row
from tui_ft.survey.rows import SurveyedRows
from tui_ft.survey.summary import Summary

_AT_ONCE: Final = 200
_TELL_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 0.001
"""Python runs one thread at a time: without a rest now and then the screen would wait for this."""


@dataclass(frozen=True, slots=True)
class Found:
    """How far a search is.

    Attributes:
        positions: of all rows found so far, in order.
        looked_at: rows looked at, of `total`.
    """

    positions: array[int]
    looked_at: int
    total: int

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.looked_at >= self.total


def search_rows(
    folder: Path, summary: Summary, query: str, among: Sequence[int] | None = None
) -> Iterator[Found]:
    """Yield what has been found so far, again and again; the last one is over.

    Args:
        folder: the survey's.
        summary: of the survey.
        query: a text that a row must hold anywhere, whatever its case; ``column:text`` looks into
            that column alone, where the row has one of that name.
        among: positions of the rows looked at; all rows when None.

    Raises:
        OSError: the file cannot be read any more.
    """
    positions = array("Q", range(summary.rows)) if among is None else array("Q", among)
    found = array("Q")
    wanted = query.casefold()
    column, _, rest = query.partition(":")
    told = time.monotonic()
    with SurveyedRows(Path(summary.rows_file), folder) as surveyed:
        for start in range(0, len(positions), _AT_ONCE):
            chunk = positions[start : start + _AT_ONCE]
            for position, row in zip(chunk, surveyed.rows(chunk), strict=True):
                if isinstance(row, Row) and _holds(row, wanted, column, rest.casefold()):
                    found.append(position)
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                yield Found(array("Q", found), start + len(chunk), len(positions))
            time.sleep(_PAUSE_SECONDS)
    yield Found(found, len(positions), len(positions))


def _holds(row: Row, wanted: str, column: str, rest: str) -> bool:
    if rest and column in row.values:
        return any(rest in text.casefold() for text in _texts(row.values[column]))
    return any(wanted in text.casefold() for text in _texts(row.values))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a value, however deep; names of columns are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
    elif value is not None:
        yield str(value)
