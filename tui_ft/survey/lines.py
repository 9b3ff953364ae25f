"""The rows of a surveyed data set one after the other, and new files written beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.data.rows import BOM
from tui_ft.survey.summary import Summary

_WORD: Final = 8


@dataclass(frozen=True, slots=True)
class SurveyedLine:
    """A row as it lies in the rows file: its position, its line in the data set, its bytes."""

    position: int
    line: int
    data: bytes


def surveyed_lines(folder: Path, summary: Summary) -> Iterator[SurveyedLine]:
    """Return every readable row, in order. Memory does not grow with them.

    Raises:
        OSError: the data set or the survey has gone.
    """
    with (
        Path(summary.rows_file).open("rb") as rows,
        (folder / "offsets.u64").open("rb") as offsets,
        (folder / "lines.u64").open("rb") as lines,
    ):
        position = 0
        while (offset := offsets.read(_WORD)) and (line := lines.read(_WORD)):
            rows.seek(int.from_bytes(offset, "little"))
            data = rows.readline().removeprefix(BOM).strip()
            yield SurveyedLine(position, int.from_bytes(line, "little"), data)
            position += 1


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Open a file that is there only once it is whole, readable by the user alone.

    Raises:
        DataError: there is one already, and it may not be replaced.
        OSError: it cannot be written.
    """
    if path.exists() and not replace:
        raise DataError(f"{path} is there already; name another with --out, or use --force")
    partial = path.with_name(f".{path.name}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, paths.PRIVATE_FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def stem_of(path: Path) -> str:
    """Return a data set's name without its suffixes: `rows` of `rows.jsonl.gz`."""
    return path.name.partition(".")[0] or path.name


def beside(path: Path, what: str) -> Path:
    """Return the name of a new file beside the data set: `rows-clean.jsonl`."""
    return path.parent / f"{stem_of(path)}-{what}.jsonl"
