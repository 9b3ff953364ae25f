"""Rows out of CSV and TSV files: every value is text, the first line names the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from tui_ft import text
from tui_ft.data.files.rows import BOM, Row, excerpt, open_bytes
from tui_ft.data.problems import BadLine, DataError

_BIGGEST_FIELD: Final = 1 << 30
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of other bytes
_UNCLOSED: Final = "unexpected end of data"


def read_csv(path: Path, delimiter: str) -> Iterator[Row | BadLine]:
    """Return the rows of a CSV file, each with the line it begins on.

    Args:
        path: the file, plain or compressed.
        delimiter: between fields; where a header holds no comma but semicolons, as spreadsheets in
            half of Europe write, those are taken.

    Raises:
        DataError: the header names a column twice, or is no text.
        OSError: the file cannot be read.
    """
    csv.field_size_limit(_BIGGEST_FIELD)
    with open_bytes(path) as file:
        first = file.readline().removeprefix(BOM)
        if delimiter == "," and b"," not in first and b";" in first:
            delimiter = ";"
        records = _records(_decoded(first, file), delimiter)
        header: list[str] | None = None
        for line, record in records:
            if isinstance(record, str):
                yield BadLine(line, record)
            elif header is None:
                header = _check_header(path, record)
            else:
                yield _as_row(line, header, record)


def _decoded(first: bytes, rest: Iterable[bytes]) -> Iterator[str]:
    for raw in chain((first,), rest):
        yield raw.decode(errors="surrogateescape")


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Return each record, or why it is none, with the line it begins on."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, _fault(str(error), begins, reader.line_num)
            continue
        if record:
            yield begins, record


def _fault(message: str, begins: int, ends: int) -> str:
    if message == _UNCLOSED:
        return f"a quote is opened and never closed: lines {begins} to {ends} are lost"
    return f"not valid CSV: {message}"


def _check_header(path: Path, header: list[str]) -> list[str]:
    fault = _not_text(header)
    if fault:
        raise DataError(f"{path}, line 1, the header: {fault}")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        shown = text.one_line(twice, 40)
        raise DataError(f"{path}, line 1: the header names the column `{shown}` twice; rename one")
    return header


def _as_row(line: int, header: list[str], record: list[str]) -> Row | BadLine:
    shown = excerpt(",".join(record))
    if len(record) != len(header):
        return BadLine(line, f"has {len(record)} fields where the header has {len(header)}", shown)
    fault = _not_text(record)
    return (
        BadLine(line, fault, shown) if fault else Row(line, dict(zip(header, record, strict=True)))
    )


def _not_text(record: Sequence[str]) -> str:
    """Return why the fields are no text; nothing when they are."""
    if any(_NOT_UTF8.search(value) for value in record):
        return "not UTF-8: save the file in that encoding"
    if any("\0" in value for value in record):
        return "holds NUL bytes: the file was damaged"
    return ""
