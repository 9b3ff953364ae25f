"""Rows out of files, one at a time: JSONL, JSON, CSV and TSV, plain or gzipped.

A row that cannot be read is reported with its line and left out; the others stay usable. Memory
does not grow with the file, but for a JSON array, which has to be read whole.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from tui_ft import text
from tui_ft.data.problems import BadLine, DataError

_BOM: Final = b"\xef\xbb\xbf"
_BIGGEST_ARRAY_BYTES: Final = 2 << 30
_BIGGEST_FIELD: Final = 64 << 20
_EXCERPT: Final = 60
_CSV_DELIMITER: Final = {".csv": ",", ".tsv": "\t"}
_JSON: Final = frozenset((".jsonl", ".ndjson", ".json"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (from 1; in a JSON array its position) and its columns."""

    line: int
    values: dict[str, Any]


def read_rows(path: Path) -> Iterator[Row | BadLine]:
    """Return the rows of ``path`` and, in their places, the lines that hold none.

    Raises:
        DataError: there is no such file, it is of no known kind, or cannot be read at all.
    """
    path = path.expanduser()
    _require_file(path)
    kind = _kind(path)
    if kind in _CSV_DELIMITER:
        return _guarded(path, _read_csv(path, _CSV_DELIMITER[kind]))
    if _begins_an_array(path):
        return _guarded(path, _read_array(path))
    return _guarded(path, _read_lines(path))


def _require_file(path: Path) -> None:
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if _kind(p) in {*_JSON, *_CSV_DELIMITER})
        holds = f": it holds {', '.join(files[:5])}" if files else ""
        raise DataError(f"{path} is a folder; give one file{holds}")
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise DataError(f"there is no file {path}{hint}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    if _kind(path) not in {*_JSON, *_CSV_DELIMITER}:
        raise DataError(
            f"{path.name} is of a kind that is not read: give .jsonl, .json, .csv or .tsv, "
            "plain or .gz"
        )


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def _open(path: Path) -> IO[bytes]:
    # gzip.open reads like a file but is typed apart from it.
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _guarded(path: Path, rows: Iterable[Row | BadLine]) -> Iterator[Row | BadLine]:
    """Turn what the file system does to us half-way into the last bad line."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield BadLine(line + 1, f"the compressed file is damaged from here on: {error}")
    except OSError as error:
        if line == 0:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        yield BadLine(line + 1, f"the file cannot be read on from here: {error.strerror or error}")


def _begins_an_array(path: Path) -> bool:
    try:
        with _open(path) as file:
            head = file.read(4096)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return head.removeprefix(_BOM).lstrip()[:1] == b"["


def _read_lines(path: Path) -> Iterator[Row | BadLine]:
    with _open(path) as file:
        first = file.readline()
        if first.removeprefix(_BOM).strip() in (b"{", b"{}"):
            yield from _read_one_object(path)
            return
        for number, raw in enumerate(_chain(first, file), start=1):
            line = raw.removeprefix(_BOM).strip() if number == 1 else raw.strip()
            if line:
                yield _parse_line(number, line)


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _parse_line(number: int, line: bytes) -> Row | BadLine:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadLine(number, _json_fault(line, error), _excerpt(line))
    if not isinstance(value, dict):
        return BadLine(number, f"holds a {type(value).__name__}, not an object", _excerpt(line))
    return Row(number, value)


def _json_fault(line: bytes, error: orjson.JSONDecodeError) -> str:
    if b"\0" in line:
        return "holds NUL bytes: the file was damaged, or is not UTF-8"
    try:
        line.decode()
    except UnicodeDecodeError as fault:
        return f"not UTF-8 at byte {fault.start + 1} of the line"
    return f"not valid JSON: {error.msg} at column {error.colno}"


def _read_array(path: Path) -> Iterator[Row | BadLine]:
    if path.stat().st_size > _BIGGEST_ARRAY_BYTES:
        raise DataError(
            f"{path} is a JSON array of {text.size(path.stat().st_size)}, which would have to be "
            "read whole; write it as JSONL: jq -c '.[]' in.json > out.jsonl"
        )
    for position, value in enumerate(_load_whole(path), start=1):
        if isinstance(value, dict):
            yield Row(position, value)
        else:
            yield BadLine(position, f"element {position} is no object", str(value)[:_EXCERPT])


def _read_one_object(path: Path) -> Iterator[Row | BadLine]:
    """Read one object spread over lines: `{"data": [rows]}`, or a single row."""
    whole = _load_whole(path)
    lists = [v for v in whole.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    rows = lists[0] if len(whole) == 1 and lists else [whole]
    for position, value in enumerate(rows, start=1):
        yield Row(position, value) if isinstance(value, dict) else BadLine(position, "no object")


def _load_whole(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    with _open(path) as file:
        data = file.read().removeprefix(_BOM)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: {_json_fault(data, error)}. A JSON array is read whole "
            "or not at all; as JSONL, one bad line would cost one row"
        ) from None


def _read_csv(path: Path, delimiter: str) -> Iterator[Row | BadLine]:
    csv.field_size_limit(_BIGGEST_FIELD)
    with _open(path) as file:
        lines = (raw.decode("utf-8-sig", errors="replace") for raw in file)
        reader = csv.DictReader(
            (line.replace("\0", "\ufffd") for line in lines), delimiter=delimiter
        )
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadLine(reader.line_num, f"not valid CSV: {error}")
                continue
            yield _check_csv_row(reader.line_num, values)


def _check_csv_row(number: int, values: dict[str | Any, Any]) -> Row | BadLine:
    if None in values:
        return BadLine(number, f"has {len(values[None])} fields more than the header")
    if any(value is None for value in values.values()):
        missing = [name for name, value in values.items() if value is None]
        return BadLine(number, f"ends before column `{missing[0]}`")
    if any("\ufffd" in value for value in values.values()):
        return BadLine(number, "not UTF-8, or damaged", _excerpt(str(values).encode()))
    return Row(number, values)


def _excerpt(line: bytes) -> str:
    return text.one_line(line[: _EXCERPT * 4].decode(errors="replace"), _EXCERPT)
