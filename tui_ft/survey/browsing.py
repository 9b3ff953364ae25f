"""A surveyed data set looked through: all rows, or those that a finding names, a page at a time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from tui_ft.data import DataError, Row, RowProblem, convert, detect
from tui_ft.data.items import AnyItem
from tui_ft.survey.first_rows import first_rows
from tui_ft.survey.folder import detection_of
from tui_ft.survey.request import Request
from tui_ft.survey.rows import SurveyedRows
from tui_ft.survey.summary import Summary

_PAGE: Final = 64
_PAGES_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Browsed:
    """A row, what it teaches or why nothing, and its position in the data set."""

    row: Row
    item: AnyItem | RowProblem
    position: int


class Browser:
    """Rows by their index in what is shown.

    Args:
        folder: the survey's.
        summary: of the survey; rows found later take a new browser.
        positions: the rows shown, by position; all of them when None.
    """

    def __init__(self, folder: Path, summary: Summary, positions: array[int] | None = None) -> None:
        self._folder = folder
        self._rows_file = Path(summary.rows_file)
        self._detection = detection_of(summary)
        self._positions = positions
        self._count = summary.rows if positions is None else len(positions)
        self._page = lru_cache(maxsize=_PAGES_KEPT)(self._read_page)

    def __len__(self) -> int:
        """Return how many rows are shown."""
        return self._count

    def at(self, index: int) -> Browsed | None:
        """Return the row at ``index``; None if it cannot be read (any more)."""
        page = self._page(index // _PAGE)
        return page[index % _PAGE] if 0 <= index % _PAGE < len(page) else None

    def _read_page(self, page: int) -> list[Browsed | None]:
        indices = range(page * _PAGE, min(self._count, (page + 1) * _PAGE))
        positions = [i if self._positions is None else self._positions[i] for i in indices]
        try:
            with SurveyedRows(self._rows_file, self._folder) as surveyed:
                rows = surveyed.rows(positions)
        except OSError:
            return []
        detection = self._detection
        return [
            Browsed(row, convert(row, detection), position)
            if isinstance(row, Row) and detection
            else None
            for position, row in zip(positions, rows, strict=True)
        ]


class Preview:
    """The first rows of a data set, read at once, to be looked at until a survey has begun.

    Args:
        request: whose first rows; of no known format, they are shown with the reason.
    """

    def __init__(self, request: Request) -> None:
        self._rows = _first_rows(request)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def at(self, index: int) -> Browsed | None:
        """Return the row at ``index``; None beyond the last."""
        return self._rows[index] if 0 <= index < len(self._rows) else None


def _first_rows(request: Request) -> list[Browsed]:
    try:
        rows = first_rows(request.path)
    except DataError:  # the survey says it, with all that is to be said
        return []
    try:
        detection = detect(rows, request.format, request.columns) if rows else None
    except DataError as error:
        reason = str(error)
        return [Browsed(row, RowProblem(row.line, reason), at) for at, row in enumerate(rows)]
    if detection is None:
        return []
    return [Browsed(row, convert(row, detection), at) for at, row in enumerate(rows)]
