"""What the pieces add up to: columns on disk, counts in memory, a summary whenever one is asked."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from tui_ft.data import Detection, objectives_of
from tui_ft.inspection.columns import ColumnWriter
from tui_ft.inspection.found import Found
from tui_ft.inspection.reading_pieces import PieceFindings
from tui_ft.inspection.source import Piece
from tui_ft.inspection.tallies import Tallies
from tui_ft.survey.summary import Layout, Stage, Summary


class Collector:
    """Takes pieces in, in their order.

    Args:
        path: the data set.
        folder: takes the columns: `offsets.u64`, `lines.u64`, `rows.u64`, `prompts.u64`,
            `words.u32`, `unusable.u8`, and `found/<check>.u64` with positions of rows.
    """

    def __init__(self, path: Path, folder: Path, total_bytes: int) -> None:
        self.detection: Detection | None = None
        self.rows_file = path
        self._path = path
        self._columns = ColumnWriter(folder)
        self._tallies = Tallies()
        self._found = Found()
        self._total = total_bytes
        self._done = 0
        self._lines = 0

    def add(self, piece: Piece, found: PieceFindings, in_place: bool) -> None:
        """Take in what a piece holds.

        Args:
            in_place: the rows file is the data set itself, so that its lines are counted here.
        """
        first_line = self._lines if in_place else 0
        self.rows_file = piece.file
        self._append_columns(found, first_line)
        for name, positions in found.found.items():
            self.add_found(name, _moved(positions, self._tallies.rows))
        self._found.add_faults(found, first_line)
        self._tallies.add(found)
        self._lines += found.line_count
        self._done += piece.bytes_read

    def add_found(
        self, name: str, positions: array[int], groups: int | None = None, detail: str = ""
    ) -> None:
        """Take in the rows, by position, in which a check found something."""
        self._columns.append(f"found/{name}.u64", positions)
        self._found.add(name, positions, groups, detail)

    def add_languages(self, shares: dict[str, float]) -> None:
        """Take in which languages the rows are in: of each its share."""
        self._tallies.languages = shares

    def flush(self) -> None:
        """Let readers see the columns up to here."""
        self._columns.flush()

    def close(self) -> None:
        """End."""
        self._columns.close()

    def summary(self, stage: Stage, seconds: float) -> Summary:
        """Return what is known now."""
        rows = self._tallies.rows
        return Summary(
            path=str(self._path),
            stage=stage,
            bytes_done=self._total if stage == "done" else min(self._done, self._total),
            bytes_total=self._total,
            rows=rows,
            usable=rows - self._tallies.unusable,
            broken_lines=self._found.broken_count,
            rows_file=str(self.rows_file),
            layout=None if self.detection is None else _layout(self.detection),
            findings=self._found.findings(rows, self._tallies.odd()),
            broken=tuple(self._found.broken),
            numbers=self._tallies.numbers(),
            seconds=seconds,
        )

    def _append_columns(self, found: PieceFindings, first_line: int) -> None:
        self._columns.append("offsets.u64", found.offsets)
        self._columns.append("lines.u64", _moved(found.lines, first_line))
        self._columns.append("rows.u64", found.rows)
        self._columns.append("prompts.u64", found.prompts)
        self._columns.append("words.u32", found.words)
        self._columns.append("unusable.u8", found.unusable)


def _moved(positions: array[int], by: int) -> array[int]:
    """Return positions counted from an earlier place."""
    moved = array("Q")
    moved.frombytes((np.frombuffer(positions, np.uint64) + np.uint64(by)).tobytes())
    return moved


def _layout(detection: Detection) -> Layout:
    return Layout(
        format=detection.format,
        style=detection.style,
        reason=detection.reason,
        columns=dict(detection.columns),
        confidence=detection.confidence,
        others=detection.others,
        objectives=objectives_of(detection.format),
    )
