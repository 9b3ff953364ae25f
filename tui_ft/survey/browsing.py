"""A surveyed data set looked through: all rows, or those that a finding names, a page at a time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.data import DataError, Row, RowProblem, convert, detect, read_rows
from tui_ft.data.items import AnyItem
from tui_ft.data.reading import is_table
from tui_ft.survey.folder import detection_of
from tui_ft.survey.request import Request
from tui_ft.survey.rows import SurveyedRows
from tui_ft.survey.summary import Summary

_PAGE: Final = 64
_PAGES_KEPT: Final = 8
_PREVIEWED: Final = 100


@dataclass(frozen=True, slots=True)
class Browsed:
    """A row, and what it teaches or why nothing."""

    row: Row
    item: AnyItem | RowProblem


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
            Browsed(row, convert(row, detection)) if isinstance(row, Row) and detection else None
            for row in rows
        ]


class Preview:
    """The first rows of a data set, read at once, to be looked at until a survey has begun.

    Args:
        request: whose first rows; of a table or a folder none, for what reads those is heavy.
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
    path = paths.expand(request.path)
    if not path.is_file() or path.stat().st_size == 0 or is_table(path):
        return []
    try:
        rows = [row for row in islice(read_rows(path), _PREVIEWED) if isinstance(row, Row)]
        detection = detect(rows, request.format, request.columns) if rows else None
    except DataError:  # the survey says it, with all that is to be said
        return []
    return [] if detection is None else [Browsed(row, convert(row, detection)) for row in rows]
