"""Rows of a survey read once more, as checks look at them: for what takes more than one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tui_ft.data import Detection, Row, RowProblem, convert
from tui_ft.data.items import AnyItem
from tui_ft.data.row_view import RowView, view_of
from tui_ft.survey.rows import SurveyedRows


class RowsAgain:
    """The usable rows of a survey, by position. Handed to other processes it opens files anew.

    Args:
        file: the rows file.
        folder: the survey's.
        detection: how rows are read.
    """

    def __init__(self, file: Path, folder: Path, detection: Detection) -> None:
        self._given = file, folder, detection
        self._detection = detection

    def __reduce__(self) -> tuple[type[RowsAgain], tuple[Path, Path, Detection]]:
        return RowsAgain, self._given

    @cached_property
    def _rows(self) -> SurveyedRows:
        file, folder, _ = self._given
        return SurveyedRows(file, folder)

    def __len__(self) -> int:
        """Return how many rows there are, usable or not."""
        return len(column(self._given[1], "offsets.u64", np.uint64))

    def view(self, position: int) -> RowView | None:
        """Return one row; None if it is unusable."""
        item = self._item(position)
        return None if item is None else view_of(item)

    def items(self, first: int, end: int) -> Iterator[AnyItem | None]:
        """Return what rows have to teach, None for unusable ones."""
        return map(self._item, range(first, end))

    def _item(self, position: int) -> AnyItem | None:
        found = self._rows.at(position)
        row = found.row() if found is not None else None
        if not isinstance(row, Row):
            return None
        item = convert(row, self._detection)
        return None if isinstance(item, RowProblem) else item

    def views(self, positions: Iterable[int]) -> Iterator[RowView | None]:
        """Return rows, None for unusable ones."""
        return map(self.view, positions)


def column(folder: Path, name: str, kind: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
    """Return a column of the survey in ``folder``, mapped and not read."""
    file = folder / name
    if not file.exists() or not file.stat().st_size:
        return np.empty(0, dtype=kind)
    return np.memmap(file, dtype=kind, mode="r")
