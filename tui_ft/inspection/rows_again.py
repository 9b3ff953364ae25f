"""Rows of a survey read a second time, by position: for what takes more than one pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from tui_ft.data import Detection, Row, RowProblem, convert
from tui_ft.data.json_rows import parse_line
from tui_ft.data.row_view import RowView, view_of
from tui_ft.data.rows import BOM


class RowsAgain:
    """The usable rows of a survey, by position.

    Handed to other processes, it takes nothing along but where everything lies.

    Args:
        file: the rows file.
        folder: the survey's, with the offset of each row.
        detection: how rows are read.
    """

    def __init__(self, file: Path, folder: Path, detection: Detection) -> None:
        self._given = file, folder, detection
        self._file = file
        self._offsets = column(folder, "offsets.u64", np.uint64)
        self._detection = detection

    def __reduce__(self) -> tuple[type[RowsAgain], tuple[Path, Path, Detection]]:
        return RowsAgain, self._given

    def __len__(self) -> int:
        """Return how many rows there are, usable or not."""
        return len(self._offsets)

    def view(self, position: int) -> RowView | None:
        """Return one row; None if it is unusable."""
        return next(self.views([position]))

    def views(self, positions: list[int]) -> Iterator[RowView | None]:
        """Return rows, None for unusable ones."""
        with self._file.open("rb") as file:
            for position in positions:
                yield self._read(file, position)

    def span(self, start: int, end: int) -> Iterator[RowView | None]:
        """Return the rows at positions ``start`` to ``end``, which is left out."""
        yield from self.views(list(range(start, end)))

    def _read(self, file: IO[bytes], position: int) -> RowView | None:
        file.seek(int(self._offsets[position]))
        row = parse_line(position, file.readline().removeprefix(BOM).strip())
        if not isinstance(row, Row):
            return None
        item = convert(row, self._detection)
        return None if isinstance(item, RowProblem) else view_of(item)


def column(folder: Path, name: str, kind: type[np.unsignedinteger]) -> npt.NDArray:  # type: ignore[type-arg]
    """Return a column of the survey in ``folder``, mapped and not read."""
    file = folder / name
    if not file.exists() or not file.stat().st_size:
        return np.empty(0, dtype=kind)
    return np.memmap(file, dtype=kind, mode="r")
