"""Rows out of files and folders, one at a time, whatever kind they are of.

JSONL, JSON, CSV, TSV and text, plain or compressed; Parquet and Arrow; folders of these. A row that
cannot be read is reported with its line and left out; the others stay usable. Memory does not grow
with the file, but for a JSON object over several lines, which has to be read whole.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tui_ft import paths
from tui_ft.data.files import kinds
from tui_ft.data.files.arrow_rows import read_table
from tui_ft.data.files.csv_rows import read_csv
from tui_ft.data.files.folder_rows import FolderFiles, folder_files, read_folder
from tui_ft.data.files.json_rows import read_json
from tui_ft.data.files.rows import BOM, DAMAGED, HEAD, Row, open_bytes, open_unpacked
from tui_ft.data.files.text_rows import read_text
from tui_ft.data.problems import BadLine, DataError

__all__ = ["FolderFiles", "folder_files", "read_rows", "source_bytes"]


def read_rows(path: Path | str) -> Iterator[Row | BadLine]:
    """Return the rows of ``path`` and, in their places, the lines that hold none.

    Args:
        path: a file, or a folder of them (see `folder_files`).

    Raises:
        DataError: there is no such file, it is of no known kind, or cannot be read at all. Raised
            at once, not when the first row is asked for.
    """
    path = paths.expand(path)
    try:
        return read_folder(path, _read_file) if path.is_dir() else _read_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}") from None


def source_bytes(path: Path | str) -> int:
    """Return the bytes on disk of a file, or of the files of a folder that are read.

    For progress: what cannot be read counts nothing here, and is said by `read_rows`.
    """
    path = paths.expand(path)
    try:
        files = folder_files(path).files if path.is_dir() else (path,)
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0


def is_table(path: Path) -> bool:
    """Return whether a file is Parquet or Arrow, which takes a heavy library to read."""
    try:
        with open_unpacked(path) as file:
            return bool(kinds.table_kind(path, file.read1(HEAD)))
    except (OSError, *DAMAGED):
        return False


def _read_file(path: Path) -> Iterator[Row | BadLine]:
    try:
        _require_file(path)
        with open_unpacked(path) as file:
            first = file.read1(HEAD)
        table = kinds.table_kind(path, first)
        if table:
            _require_plain(path, first)
            return _guarded(path, read_table(path, table))
        kinds.refuse_packed(path, first)
        if kinds.kind_of(path) not in kinds.READABLE:
            raise kinds.not_readable(path, path.suffix.lower())
        with open_bytes(path) as text:
            head = text.read1(HEAD)  # one piece: a compressed file that was cut off has a beginning
    except (OSError, *DAMAGED) as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}") from None
    if not head.removeprefix(BOM).strip():
        raise DataError(f"{path} is empty" + (": it holds only white space" if head else ""))
    return _guarded(path, _read_text_of(path, head))


def _read_text_of(path: Path, head: bytes) -> Iterator[Row | BadLine]:
    kind = kinds.kind_of(path)
    if kind in kinds.DELIMITERS:
        return read_csv(path, kinds.DELIMITERS[kind])
    return read_text(path) if kind in kinds.TEXT else read_json(path, head)


def _require_file(path: Path) -> None:
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise DataError(f"there is no file {path}{hint}")
    if not path.is_file():
        raise DataError(f"{path} is no regular file; write its rows to one first")


def _require_plain(path: Path, first: bytes) -> None:
    """Refuse a table in a compressed file: it is read from its end, and is compressed itself."""
    with path.open("rb") as file:
        is_plain = file.read(len(first)) == first
    if not is_plain:
        raise kinds.not_readable(path, path.suffix.lower())


def _guarded(path: Path, rows: Iterable[Row | BadLine]) -> Iterator[Row | BadLine]:
    """Turn what the file system does to us half-way into the last bad line."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except DAMAGED as error:
        yield BadLine(line + 1, f"the compressed file is damaged from here on: {_reason(error)}")
    except OSError as error:
        if line == 0:
            raise DataError(f"{path} cannot be read: {_reason(error)}") from None
        yield BadLine(line + 1, f"the file cannot be read on from here: {_reason(error)}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
