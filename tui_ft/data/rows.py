"""A row as it was read, and what every reader needs: bytes out of a plain or a gzipped file."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from tui_ft import text

BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_EXCERPT: Final = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (from 1; in a JSON array its position) and its columns."""

    line: int
    values: dict[str, Any]


def open_bytes(path: Path) -> BufferedReader | gzip.GzipFile:
    """Open a file, and what is in it if it is gzipped, whatever its name says."""
    file = path.open("rb")
    try:
        magic = file.read(len(_GZIP))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    if magic != _GZIP:
        return file
    file.close()
    return gzip.open(path, "rb")


def type_name(value: object) -> str:
    """Return what JSON calls a value's type, in words."""
    names: dict[type, str] = {
        list: "a list",
        dict: "an object",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def excerpt(line: bytes | str, around: int = 0) -> str:
    """Return the part of ``line`` near position ``around``, as one harmless line."""
    start = max(0, around - _EXCERPT // 2)
    part = line[start : start + _EXCERPT * 4]
    shown = part.decode(errors="replace") if isinstance(part, bytes) else part
    return ("…" if start else "") + text.one_line(shown, _EXCERPT)
