"""The first rows of a data set, to be looked at before anything is known of the others."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from typing import Any, Final

import msgspec

from tui_ft import paths
from tui_ft.data import DataError, Row, read_rows
from tui_ft.data.files.reading import is_table

MOST: Final = 100


class FirstRow(msgspec.Struct, frozen=True):
    """A row on its way from the process that reads tables."""

    line: int
    values: dict[str, Any]


def first_rows(path: str, most: int = MOST) -> list[Row]:
    """Return the first rows that can be read.

    Tables (Parquet, Arrow) and folders, which may hold some, are read by a process of its own: what
    reads them is heavy.

    Raises:
        DataError: the data set cannot be read.
    """
    file = paths.expand(path)
    if file.is_file() and not is_table(file):
        return readable(path, most)
    command = [sys.executable, "-m", "tui_ft.inspection.first_rows", str(file), str(most)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(said[-1] if said else f"{path} cannot be read")
    found = msgspec.json.decode(done.stdout, type=list[FirstRow])
    return [Row(row.line, row.values) for row in found]


def readable(path: str, most: int) -> list[Row]:
    """Return the first rows that can be read, in this process.

    Raises:
        DataError: the data set cannot be read.
    """
    return [row for row in islice(read_rows(path), most) if isinstance(row, Row)]
