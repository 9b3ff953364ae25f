"""A survey as it lies on disk: its summary, which rows a finding names, who is at work on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from array import array
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec

from tui_ft import paths
from tui_ft.data import Detection
from tui_ft.survey.summary import Summary
from tui_ft.survey.tokens import TokenSummary
from tui_ft.vocabulary import FormatName

LOCK_FILE: Final = "lock"
_WORD: Final = 8
_MOST_POSITIONS: Final = 1_000_000
_KEPT: Final = 40
_Answer = TypeVar("_Answer", Summary, TokenSummary)


def surveys_dir() -> Path:
    """Return the folder that holds one folder for each survey."""
    return paths.home() / "surveys"


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
        handle = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        # A record lock: children of the process that holds it do not inherit it.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def newest_first() -> list[Path]:
    """Return the folders of all surveys, the one used last first."""
    try:
        return sorted(surveys_dir().iterdir(), key=_used, reverse=True)
    except OSError:
        return []


def remove_old(kept: int = _KEPT) -> None:
    """Remove all but the ``kept`` surveys that were used last; those being made stay."""
    for folder in newest_first()[kept:]:
        if not is_being_made(folder):
            shutil.rmtree(folder, ignore_errors=True)


def mark_used(folder: Path) -> None:
    """Remember that a survey was looked at."""
    with contextlib.suppress(OSError):
        os.utime(folder / LOCK_FILE)


def _used(folder: Path) -> float:
    try:
        return (folder / LOCK_FILE).stat().st_mtime
    except OSError:
        return 0.0


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
    """Return the largest groups of duplicates, as positions; none for what has no groups."""
    try:
        data = (folder / "groups" / f"{check}.json").read_bytes()
        return msgspec.json.decode(data, type=list[list[int]])
    except (OSError, msgspec.MsgspecError):
        return []


def rows_to_look_at(folder: Path, check: str) -> array[int]:
    """Return the rows that show what was found: of duplicates group after group, the first too."""
    groups = found_groups(folder, check)
    if groups:
        return array("Q", (position for group in groups for position in group))
    return found_positions(folder, check)


def detection_of(summary: Summary) -> Detection | None:
    """Return how rows are read, for `convert`."""
    layout = summary.layout
    if layout is None:
        return None
    return Detection(
        format=cast(FormatName, layout.format),
        reason=layout.reason,
        columns=layout.columns,
        confidence=layout.confidence,
        style=layout.style,
        others=cast(tuple[FormatName, ...], layout.others),
    )
