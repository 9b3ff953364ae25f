"""A survey as it lies on disk: its summary, its rows by position, which rows a finding names."""

from __future__ import annotations

import fcntl
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

import msgspec

from tui_ft.data import BadLine, Detection, Row
from tui_ft.data.json_rows import parse_line
from tui_ft.data.rows import BOM
from tui_ft.survey.summary import Summary
from tui_ft.survey.tokens import TokenSummary

_WORD: Final = 8
_MOST_POSITIONS: Final = 1_000_000
_Answer = TypeVar("_Answer", Summary, TokenSummary)


def read_summary(folder: Path) -> Summary | None:
    """Return the survey's summary; None when there is none, or none that can be read."""
    return _read(folder / "summary.json", Summary)


def read_token_summary(folder: Path) -> TokenSummary | None:
    """Return the summary of a survey's tokens; None when there is none."""
    return _read(folder / "summary.json", TokenSummary)


def _read(file: Path, kind: type[_Answer]) -> _Answer | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def is_being_made(folder: Path) -> bool:
    """Return whether a process is at work on the survey."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class SurveyedRows:
    """The rows of a data set by position, as far as they have been found.

    Reads a few bytes for each row asked for, so that the size of the data set does not matter.
    """

    def __init__(self, folder: Path, summary: Summary) -> None:
        self._folder = folder
        self._file = Path(summary.rows_file)

    def rows(self, positions: Sequence[int]) -> list[Row | BadLine | None]:
        """Return rows; None for a position that has not been reached yet.

        Raises:
            OSError: the data set has gone.
        """
        found: list[Row | BadLine | None] = []
        with (
            self._file.open("rb") as rows,
            (self._folder / "offsets.u64").open("rb") as offsets,
            (self._folder / "lines.u64").open("rb") as lines,
        ):
            for position in positions:
                offset, line = _word(offsets, position), _word(lines, position)
                if offset is None or line is None:
                    found.append(None)
                    continue
                rows.seek(offset)
                found.append(parse_line(line, rows.readline().removeprefix(BOM).strip()))
        return found

    def line(self, position: int) -> int | None:
        """Return the line at which a row stands."""
        with (self._folder / "lines.u64").open("rb") as lines:
            return _word(lines, position)


def found_positions(folder: Path, check: str, most: int = _MOST_POSITIONS) -> array[int]:
    """Return the positions of the rows in which a check found something, the first ``most``."""
    positions = array("Q")
    try:
        with (folder / "found" / f"{check}.u64").open("rb") as file:
            data = file.read(most * _WORD)
    except OSError:
        return positions
    positions.frombytes(data[: len(data) // _WORD * _WORD])
    return positions


def found_groups(folder: Path, check: str) -> list[list[int]]:
    """Return the largest groups of duplicates, as positions; see `Finding.groups`."""
    try:
        data = (folder / "groups" / f"{check}.json").read_bytes()
        return msgspec.json.decode(data, type=list[list[int]])
    except (OSError, msgspec.MsgspecError):
        return []


def detection_of(summary: Summary) -> Detection | None:
    """Return how rows are read, for `convert`."""
    layout = summary.layout
    if layout is None:
        return None
    return Detection(
        format=layout.format,  # type: ignore[arg-type]
        reason=layout.reason,
        columns=layout.columns,
        confidence=layout.confidence,
        style=layout.style,
        others=layout.others,  # type: ignore[arg-type]
    )


def _word(file: IO[bytes], position: int) -> int | None:
    file.seek(position * _WORD)
    data = file.read(_WORD)
    return int.from_bytes(data, "little") if len(data) == _WORD else None
