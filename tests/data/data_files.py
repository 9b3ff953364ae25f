"""Files of every kind, written and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from tui_ft.data import BadLine, Row, read_rows

Rows = list[dict[str, Any]]
LINES = b'{"a": 1}\n{"a": 2}\n'


def read(path: Path, content: bytes | None = None) -> list[Row | BadLine]:
    if content is not None:
        path.write_bytes(content)
    return list(read_rows(path))


def values(found: list[Row | BadLine]) -> Rows:
    return [row.values for row in found if isinstance(row, Row)]


def bad(found: list[Row | BadLine]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in found if isinstance(row, BadLine)]


def write_parquet(path: Path, table: pa.Table, **options: Any) -> None:
    parquet.write_table(table, path, **options)


def write_arrow(path: Path, table: pa.Table, batch: int = 2) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, batch)


def write_stream(path: Path, table: pa.Table, batch: int = 2) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, batch)


WRITE_TABLE: dict[str, Callable[[Path, pa.Table], None]] = {
    "rows.parquet": write_parquet,
    "rows.arrow": write_arrow,
    "stream.arrow": write_stream,
    "rows.feather": write_arrow,
}
