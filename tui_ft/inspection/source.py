"""Any readable data set as pieces of JSON lines, small enough to be read beside each other.

JSONL that lies plain on disk is read in place. Everything else (compressed, CSV, Parquet, arrays,
folders) is written out once as JSON lines beside the survey, so that any row can be found again.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tui_ft import paths, text
from tui_ft.data import BadLine, DataError, Row, read_rows
from tui_ft.data.files.json_rows import holds_lines_in_place

PIECE_BYTES: Final = 4 << 20
_FIRST_PIECE: Final = 256 << 10
_KEEP_FREE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of the rows file.

    Attributes:
        file: the rows file.
        start: offset of its first byte.
        end: offset after its last.
        data: the bytes themselves, where they are at hand.
        lines: for each line of `data` where it stands in the data set; None when it is read in
            place, and lines are counted.
        broken: what could not be read on the way.
        bytes_read: bytes of the data set that this took.
    """

    file: Path
    start: int
    end: int
    data: bytes | None = None
    lines: array[int] | None = None
    broken: list[BadLine] = field(default_factory=list)
    bytes_read: int = 0

    def read(self) -> bytes:
        """Return its bytes."""
        if self.data is not None:
            return self.data
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.end - self.start)


def pieces(path: Path, copy: Path) -> Iterator[Piece]:
    """Return the data set piece by piece; the first is small, to have something to show.

    Args:
        path: a file, or a folder.
        copy: where the rows are written if they cannot be read in place; readable by the user
            alone.

    Raises:
        DataError: it cannot be read, or there is no room for the copy.
    """
    if path.is_file() and holds_lines_in_place(path):
        return _in_place(path)
    return _copied(path, copy)


def _in_place(path: Path) -> Iterator[Piece]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start < size:
            wanted = start + (PIECE_BYTES if start else _FIRST_PIECE)
            if wanted < size:
                file.seek(wanted)
                file.readline()  # to the end of the line that the border falls into
                end = file.tell()
            else:
                end = size
            yield Piece(path, start, end, bytes_read=end - start)
            start = end


def _copied(path: Path, copy: Path) -> Iterator[Piece]:
    handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, paths.PRIVATE_FILE)
    with os.fdopen(handle, "wb") as file:
        yield from _written(path, file.write, copy)


def _written(path: Path, write: Callable[[bytes], int], copy: Path) -> Iterator[Piece]:
    start, limit = 0, _FIRST_PIECE
    lines, broken, held, size = array("Q"), list[BadLine](), list[bytes](), 0
    for row in read_rows(path):
        if isinstance(row, BadLine):
            broken.append(row)
            continue
        held.append(_as_line(row))
        lines.append(row.line)
        size += len(held[-1])
        if size >= limit:
            yield _flushed(copy, write, start, held, lines, broken)
            start, limit, size = start + size, PIECE_BYTES, 0
            lines, broken, held = array("Q"), [], []
    if held or broken:
        yield _flushed(copy, write, start, held, lines, broken)


def _flushed(
    copy: Path,
    write: Callable[[bytes], int],
    start: int,
    held: list[bytes],
    lines: array[int],
    broken: list[BadLine],
) -> Piece:
    data = b"".join(held)
    free = shutil.disk_usage(copy.parent).free
    if free < len(data) + _KEEP_FREE:
        raise DataError(
            f"the disk of {copy.parent} has {text.size(free)} left, too little to lay out the rows "
            "of a compressed file: unpack it to JSONL on a larger disk, or set FTUI_HOME to one"
        )
    write(data)
    return Piece(copy, start, start + len(data), data, lines, broken)


def _as_line(row: Row) -> bytes:
    try:
        return orjson.dumps(row.values) + b"\n"
    except TypeError:  # whole numbers beyond 64 bits, half a surrogate pair
        return json.dumps(row.values, default=_as_text).encode() + b"\n"


def _as_text(value: Any) -> str:  # noqa: ANN401 - whatever a reader found
    return str(value)
