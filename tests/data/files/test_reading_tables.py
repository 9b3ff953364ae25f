"""Parquet and Arrow: what their columns become, and what damage costs."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from tests.data.data_files import (
    WRITE_TABLE,
    bad,
    read,
    values,
    write_arrow,
    write_parquet,
    write_stream,
)
from tui_ft.data import DataError, Row, read_rows
from tui_ft.data.files.json_rows import holds_lines_in_place

tables = pytest.mark.parametrize("name", WRITE_TABLE)


@tables
def test_what_columns_hold_becomes_what_json_holds(name: str, tmp_path: Path) -> None:
    second = datetime.datetime(2026, 1, 2, 3, 4, 5, 600)
    table = pa.table(
        {
            "turns": [[{"role": "user", "content": "é"}], None, []],
            "when": [second, None, second],
            "zone": pa.array([second, None, None], pa.timestamp("ns", "UTC")),
            "fine": pa.array([1, None, 2_000], pa.timestamp("ns")),
            "day": pa.array([datetime.date(2026, 1, 2), None, None]),
            "took": pa.array([1_500_000_000, None, 0], pa.duration("ns")),
            "price": [Decimal("1.50"), Decimal("2.00"), None],
            "raw": [b"text", b"\xff\x00", b"nul\0"],
            "score": [0.5, math.nan, None],
            "label": pa.array(["a", "b", None]).dictionary_encode(),
            "flag": [True, False, None],
            "half": pa.array([1.5, None, 0], pa.float16()),
            "struct": pa.array([{"x": None}, None, {"x": [1, 2]}]),
            "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
            "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
            "none": pa.nulls(3),
        }
    )
    WRITE_TABLE[name](tmp_path / name, table)
    first, other, last = read(tmp_path / name)
    assert (first.line, other.line, last.line) == (1, 2, 3)
    assert isinstance(first, Row)
    assert isinstance(other, Row)
    assert isinstance(last, Row)
    assert first.values == {
        "turns": [{"role": "user", "content": "é"}],
        "when": "2026-01-02T03:04:05.000600",
        "zone": "2026-01-02T03:04:05.000600+00:00",
        "fine": "1970-01-01T00:00:00",
        "day": "2026-01-02",
        "took": 1.5,
        "price": 1.5,
        "raw": "text",
        "score": 0.5,
        "label": "a",
        "flag": True,
        "half": 1.5,
        "struct": {"x": None},
        "map": {"k": 1},
        "fixed": [1, 2],
        "none": None,
    }
    assert isinstance(other.values.pop("score"), float)
    assert other.values.pop("raw") == "<2 bytes>"
    assert other.values.pop("price") == 2
    assert other.values.pop("label") == "b"
    assert other.values.pop("flag") is False
    assert set(other.values.values()) == {None}
    assert last.values["struct"] == {"x": [1, 2]}
    assert last.values["turns"] == []
    assert last.values["raw"] == "<4 bytes>"
    assert orjson.dumps(first.values)


@tables
def test_a_table_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    WRITE_TABLE[name](tmp_path / "rows.jsonl", pa.table({"a": [1, 2, 3]}))
    assert values(read(tmp_path / "rows.jsonl")) == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert not holds_lines_in_place(tmp_path / "rows.jsonl")


@tables
def test_a_table_without_rows_has_none(name: str, tmp_path: Path) -> None:
    WRITE_TABLE[name](tmp_path / name, pa.table({"a": pa.array([], pa.string())}))
    assert read(tmp_path / name) == []


@tables
def test_text_that_is_no_utf8_costs_its_row(name: str, tmp_path: Path) -> None:
    buffers = [None, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xe9c")]
    column = pa.Array.from_buffers(pa.string(), 3, buffers)
    WRITE_TABLE[name](tmp_path / name, pa.table({"a": column}))
    found = read(tmp_path / name)
    assert len(bad(found)) == 1
    assert "UTF" in bad(found)[0][1]
    assert values(found) == [{"a": "a"}, {"a": "c"}]


@tables
def test_a_column_named_twice_is_refused(name: str, tmp_path: Path) -> None:
    WRITE_TABLE[name](tmp_path / name, pa.table([[1], [2]], names=["a", "a"]))
    with pytest.raises(DataError, match="names the column `a` twice; rename one"):
        read_rows(tmp_path / name)


@tables
def test_a_table_without_columns_is_refused(name: str, tmp_path: Path) -> None:
    WRITE_TABLE[name](tmp_path / name, pa.table({"a": [1, 2]}).select([]))
    with pytest.raises(DataError, match="has no columns, or is damaged"):
        read_rows(tmp_path / name)


@pytest.mark.parametrize("write", [write_arrow, write_stream])
def test_rows_that_hold_nothing_are_not_counted_out(
    write: Callable[[Path, pa.Table, int], None], tmp_path: Path
) -> None:
    write(tmp_path / "rows.arrow", pa.table({"a": pa.nulls(2_000_000_000)}), 2_000_000_000)
    ((line, reason),) = bad(read(tmp_path / "rows.arrow"))
    assert line == 1
    assert reason.endswith("2,000,000,000 rows in which every column is null")


def test_of_a_parquet_file_with_a_damaged_row_group_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_parquet(
        path, pa.table({"a": [f"{n:020}" for n in range(300)]}), row_group_size=100,
        compression="zstd",
    )  # fmt: skip
    column = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    middle = column.data_page_offset + 40
    content[middle : middle + 40] = b"\xff" * 40
    found = read(path, bytes(content))
    lines = [row.line for row in found]
    assert lines == sorted(lines)
    assert {*range(1, 101), *range(201, 301)} <= {r.line for r in found if isinstance(r, Row)}
    assert "damaged from here on for 100 rows" in bad(found)[0][1]


@pytest.mark.parametrize("is_stream", [False, True])
def test_of_arrow_cut_off_what_can_be_is_read(is_stream: bool, tmp_path: Path) -> None:
    table = pa.table({"a": list(range(100))})
    path = tmp_path / "rows.arrow"
    (write_stream if is_stream else write_arrow)(path, table, 10)
    path.write_bytes(path.read_bytes()[:-700])
    if not is_stream:  # its footer says where the batches are
        with pytest.raises(DataError, match="damaged or cut off"):
            read_rows(path)
        return
    found = read(path)
    assert 10 <= len(values(found)) < 100
    assert values(found) == [{"a": n} for n in range(len(values(found)))]
    assert bad(found)[-1][1].startswith("damaged from here on")


def test_a_stream_without_its_end_mark_is_said_to_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    write_stream(path, pa.table({"a": [1, 2, 3]}))
    found = read(path, path.read_bytes()[:-8])
    assert len(values(found)) == 3
    assert "no end mark" in bad(found)[0][1]
