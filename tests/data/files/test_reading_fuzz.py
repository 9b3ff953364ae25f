"""No file, whatever was done to it, ends in anything but rows, bad lines and a DataError.

`FTUI_FUZZ_EXAMPLES=20000 pytest tests/data/files/test_reading_fuzz.py` looks longer.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tui_ft.data import BadLine, DataError, Row, read_rows
from tui_ft.data.files.json_rows import holds_lines_in_place, parse_line
from tui_ft.data.files.kinds import READABLE
from tui_ft.data.files.reading import source_bytes

EXAMPLES = int(os.environ.get("FTUI_FUZZ_EXAMPLES", "100"))
SUFFIXES = [f"{kind}{packed}" for kind in sorted(READABLE) for packed in ("", ".gz", ".zst")]
FLAT = [{"text": f"row {n}: é中😀", "label": str(n)} for n in range(40)]
NESTED: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"é {n}"}] * (n % 3), "score": n / 7, "n": n}
    for n in range(40)
]
fuzz = settings(max_examples=EXAMPLES)


def read(path: Path, content: bytes) -> list[Row | BadLine] | None:
    """Return what is read; None if the file is refused."""
    path.write_bytes(content)
    try:
        found = list(read_rows(path))
    except DataError as error:
        assert path.name in str(error)
        return None
    lines = [row.line for row in found]
    assert lines == sorted(lines)
    assert all(line >= 1 for line in lines)
    assert all(isinstance(row, Row | BadLine) for row in found)
    assert source_bytes(path) == len(content)
    if holds_lines_in_place(path):
        assert values(found) == in_place(content)
    return found


def in_place(content: bytes) -> list[dict[str, Any]]:
    """Return the rows as they are found again: by lines, straight from the disk."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rows = [parse_line(1, line.strip()) for line in lines if line.strip()]
    return [row.values for row in rows if isinstance(row, Row)]


def values(found: list[Row | BadLine]) -> list[dict[str, Any]]:
    return [row.values for row in found if isinstance(row, Row)]


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _csv() -> bytes:
    return "".join(f'"{row["text"]}",{row["label"]}\r\n' for row in FLAT).encode()


def _table(write: Callable[[pa.Table, io.BytesIO], None]) -> bytes:
    sink = io.BytesIO()
    write(pa.Table.from_pylist(NESTED), sink)
    return sink.getvalue()


def _arrow(table: pa.Table, sink: io.BytesIO) -> None:
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, 10)


def _packed_arrow(table: pa.Table, sink: io.BytesIO) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, 10)


def _stream(table: pa.Table, sink: io.BytesIO) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 10)


def _parquet(table: pa.Table, sink: io.BytesIO) -> None:
    parquet.write_table(table, sink, row_group_size=10)


@cache
def valid_files() -> dict[str, bytes]:
    jsonl, txt = _jsonl(NESTED), "\n".join(row["text"] for row in FLAT).encode()
    files = {
        "a.jsonl": jsonl,
        "a.json": orjson.dumps(NESTED, option=orjson.OPT_INDENT_2),
        "b.json": orjson.dumps({"version": 1, "data": NESTED}),
        "c.json": orjson.dumps(NESTED),
        "a.csv": b"text,label\r\n" + _csv(),
        "a.txt": txt,
        "a.md": txt.replace(b"\n", b"\n\n"),
        "utf16.jsonl": jsonl.decode().encode("utf-16"),
        "utf32.csv": (b"text,label\r\n" + _csv()).decode().encode("utf-32"),
        "cr.txt": txt.replace(b"\n", b"\r"),
        "a.parquet": _table(_parquet),
        "a.arrow": _table(_arrow),
        "packed.arrow": _table(_packed_arrow),
        "stream.arrow": _table(_stream),
    }
    for name in ("a.jsonl", "a.json", "a.csv", "a.txt", "utf16.jsonl"):
        files[f"{name}.gz"] = gzip.compress(files[name])
        checked = zstandard.ZstdCompressor(write_checksum=True)
        half = len(files[name]) // 2
        frames = checked.compress(files[name][:half]) + checked.compress(files[name][half:])
        files[f"{name}.zst"] = frames
    return files


KINDS = sorted(valid_files())
LINE_BASED = ["a.jsonl", "a.csv", "a.txt", "utf16.jsonl", "utf32.csv", "cr.txt"]


def test_the_files_that_are_damaged_below_are_read(tmp_path: Path) -> None:
    for name, content in valid_files().items():
        found = read(tmp_path / name, content)
        assert found is not None
        assert len(values(found)) == len(found) == 40, name


_MAGIC = st.sampled_from(
    [
        b"", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"PAR1", b"ARROW1\0\0",
        b"\xff\xff\xff\xff", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff",
        b"\xef\xbb\xbf", b"[", b"{", b'{"a": 1}\n', b"a,b\n", b"BZh", b"PK\x03\x04",
    ]
)  # fmt: skip
_BITS = st.sampled_from(
    [
        b'{"a": 1}', b"[", b"]", b"{", b"}", b",", b'"', b"\n", b"\r", b"\r\n", b"nul", b"NaN",
        b"\\", b"\\u", b"\\ud83d", b"\xed\xa0\xbd", b"\xe9", b"\x00", b"\t", b";", b"1,2\n", b" ",
        b"\xc3", b"\xa9", b"\xff\xfe", b"\xef\xbb\xbf", b'"a"', b":", b"1e999", b"-",
        b"[" * 2_000, b'{"a":' * 1_500, b"9" * 400, "é".encode("utf-16-le"), b"\n\n",
    ]
)  # fmt: skip
_CONTENT = st.binary(max_size=200) | st.lists(_BITS, max_size=14).map(b"".join)


@given(_MAGIC, _CONTENT, st.sampled_from(SUFFIXES), st.sampled_from(["", "gz", "zst"]))
@fuzz
def test_any_bytes_under_any_name(
    tmp_path: Path, magic: bytes, content: bytes, suffix: str, packed: str
) -> None:
    content = magic + content
    if packed:
        content = gzip.compress(content) if packed == "gz" else zstandard.compress(content)
    read(tmp_path / f"rows{suffix}", content)


@given(st.sampled_from(KINDS), st.data())
@fuzz
def test_a_file_cut_off_anywhere_gives_a_beginning(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    content = valid_files()[name]
    cut = data.draw(st.integers(4, len(content) - 1))  # less does not show that it is compressed
    found = read(tmp_path / name, content[:cut])
    if found is None:
        return
    whole = values(read(tmp_path / f"whole-{name}", content) or [])
    rows = values(found)
    shows_it = "json" in name or name.endswith((".gz", ".parquet", ".arrow"))
    if not shows_it and rows != whole[: len(rows)]:
        rows.pop()  # the last line of a text or CSV, plain or cut between two frames
    if name == "b.json" and rows and "version" in rows[0]:
        return
    assert rows == whole[: len(rows)]
    if name in LINE_BASED:
        assert len(rows) >= _rows_whole_in(name, content, cut)


def _rows_whole_in(name: str, content: bytes, cut: int) -> int:
    """Return how many rows stand, with the end of their line, in the first ``cut`` bytes."""
    encoding = {"utf16.jsonl": "utf-16", "utf32.csv": "utf-32"}.get(name, "utf-8")
    text = content[:cut].decode(encoding, errors="ignore")
    ends = text.count("\r" if name == "cr.txt" else "\n")
    return max(0, ends - 1) if name.endswith(".csv") else ends


@given(st.sampled_from(KINDS), st.data())
@fuzz
def test_a_file_damaged_anywhere(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(valid_files()[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(1, 30))
        content[at : at + length] = data.draw(st.binary(max_size=30))
        if not content:
            break
    read(tmp_path / name, bytes(content))


@given(st.data(), st.sampled_from([b"\xff", b"\x00", b"\xe9", b'"', b"{", b"\\", b"\xed\xa0\x80"]))
@fuzz
def test_damage_in_a_line_costs_nothing_before_it_and_in_jsonl_nothing_after(
    tmp_path: Path, data: st.DataObject, damage: bytes
) -> None:
    name = data.draw(st.sampled_from(["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.txt"]))
    plain = valid_files()[name.removesuffix(".gz").removesuffix(".zst")]
    lines = plain.splitlines(keepends=True)
    header = name == "a.csv"
    number = data.draw(st.integers(int(header), len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[number]) - 3))
    lines[number] = lines[number][:at] + damage + lines[number][at:]
    content = b"".join(lines)
    if name.endswith("gz"):
        content = gzip.compress(content)
    elif name.endswith("zst"):
        content = zstandard.compress(content)
    found = values(read(tmp_path / name, content) or [])
    whole = values(read(tmp_path / f"whole-{name}", valid_files()[name]) or [])
    before = number - header
    assert found[:before] == whole[:before]
    if "jsonl" in name:
        assert found[len(found) - (len(whole) - before - 1) :] == whole[before + 1 :]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".txt", ".md"])
@pytest.mark.parametrize(
    "content",
    [
        b'{"a": "' + b"x" * 1_000_000 + b'"}',
        b"x" * 1_000_000,
        b'"' * 1_000_001,
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'[{"a": ' + b"[" * 500_000 + b"]" * 500_000 + b'}, {"a": 1}]',
        b"\\" * 1_000_000,
        b'["' + b"\\\\" * 500_000 + b'"',
        b"\r" * 1_000_000,
        b'{"a": 1}\r' * 100_000,
        b"\n" * 1_000_000 + b"x",
        b"," * 1_000_000,
        b"\0" * 1_000_000,
        b"[" + b"1," * 500_000,
        b'[{"a": 1}' + b" " * 1_000_000,
        b'[{"a": "\\ud83d"}, {"a": NaN}]',
    ],
    ids=lambda content: f"{content[:12]!r}…{len(content)}" if isinstance(content, bytes) else None,
)
def test_what_is_large_or_deep_does_not_hang(tmp_path: Path, content: bytes, suffix: str) -> None:
    for number, wrapped in enumerate((content, content[: len(content) // 2], content + content)):
        read(tmp_path / f"{number}{suffix}", wrapped)
