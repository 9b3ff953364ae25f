"""The rows of a surveyed data set, by position or one after the other.

A row costs three reads of a few bytes and one of its own, so the size of the data set does not
matter, and nor does it that more rows are being found meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from tui_ft.data import BadLine, Row
from tui_ft.data.files.json_rows import parse_line
from tui_ft.data.files.rows import BOM

_WORD: Final = 8


class RowBytes(NamedTuple):
    """A row as it lies in the rows file: its position, its line in the data set, its bytes."""

    position: int
    line: int
    data: bytes

    def row(self) -> Row | BadLine:
        """Return what the bytes hold."""
        return parse_line(self.line, self.data)


class SurveyedRows:
    """Reads rows that a survey has found; to be closed, or used as a context.

    Args:
        rows_file: where the rows lie, one JSON object a line.
        folder: the survey's.

    Raises:
        OSError: the data set or the survey has gone.
    """

    def __init__(self, rows_file: Path, folder: Path) -> None:
        self._rows = rows_file.open("rb")
        try:
            self._offsets = (folder / "offsets.u64").open("rb", buffering=0)
            self._lines = (folder / "lines.u64").open("rb", buffering=0)
        except BaseException:
            self._rows.close()
            raise

    def at(self, position: int) -> RowBytes | None:
        """Return one row; None for a position that has not been reached yet."""
        place = position * _WORD
        offset = os.pread(self._offsets.fileno(), _WORD, place)
        line = os.pread(self._lines.fileno(), _WORD, place)
        if len(offset) < _WORD or len(line) < _WORD:
            return None
        self._rows.seek(int.from_bytes(offset, "little"))
        data = self._rows.readline().removeprefix(BOM).strip()
        return RowBytes(position, int.from_bytes(line, "little"), data)

    def rows(self, positions: Sequence[int]) -> list[Row | BadLine | None]:
        """Return rows; None for positions that have not been reached yet."""
        found = [self.at(position) for position in positions]
        return [row.row() if row is not None else None for row in found]

    def __iter__(self) -> Iterator[RowBytes]:
        """Return every row there is, in order."""
        position = 0
        while (row := self.at(position)) is not None:
            yield row
            position += 1

    def close(self) -> None:
        """Close the files."""
        for file in (self._rows, self._offsets, self._lines):
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
