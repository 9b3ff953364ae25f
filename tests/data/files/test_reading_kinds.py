"""Compression, encodings, text and arrays; and that all that was written is read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.data.data_files import (
    LINES,
    WRITE_TABLE,
    Rows,
    bad,
    read,
    values,
)
from tui_ft.data import Row
from tui_ft.data.files import json_array
from tui_ft.data.files.json_rows import holds_lines_in_place


def test_reading_text_loads_no_table_library(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    program = (
        "import sys; from tui_ft.data.files.reading import read_rows; "
        f"print(len(list(read_rows({str(tmp_path)!r})))); "
        "print({'pyarrow', 'numpy', 'pandas', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["2", "set()"]


# Compression


@pytest.mark.parametrize("name", ["rows.jsonl.zst", "rows.jsonl.zstd", "rows.jsonl", "rows.json"])
def test_zstd_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    found = read(tmp_path / name, zstandard.compress(LINES))
    assert found == [Row(1, {"a": 1}), Row(2, {"a": 2})]


def test_zstd_in_several_frames_and_one_to_be_skipped(tmp_path: Path) -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    packed = skipped + zstandard.compress(LINES) + skipped + zstandard.compress(b'{"a": 3}')
    assert values(read(tmp_path / "rows.jsonl.zst", packed)) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_other_kinds_are_unpacked_too(tmp_path: Path) -> None:
    csv, story = b"a,b\n1,2\n", b"one\ntwo\n"
    for pack, end in ((zstandard.compress, "zst"), (gzip.compress, "gz")):
        assert values(read(tmp_path / f"r.csv.{end}", pack(csv))) == [{"a": "1", "b": "2"}]
        assert values(read(tmp_path / f"r.json.{end}", pack(b'[{"a": 1}]'))) == [{"a": 1}]
        assert values(read(tmp_path / f"r.txt.{end}", pack(story))) == [
            {"text": "one"},
            {"text": "two"},
        ]


def test_of_a_zstd_cut_off_or_followed_by_rubbish_the_rows_before_are_read(tmp_path: Path) -> None:
    random = Random(0)
    lines = b"".join(b'{"a": %d, "b": "%x"}\n' % (n, random.getrandbits(60)) for n in range(30_000))
    packed = zstandard.compress(lines)
    found = read(tmp_path / "rows.jsonl.zst", packed[: len(packed) // 2])
    assert [row["a"] for row in values(found)] == list(range(len(values(found))))
    assert len(values(found)) > 5_000
    assert bad(found)[0][1].startswith("the compressed file is damaged from here on: it ends")
    found = read(tmp_path / "rows.jsonl.zst", packed + b"rest")
    assert len(values(found)) == 30_000
    assert [line for line, _ in bad(found)] == [30_001]


def test_of_a_zstd_whose_checksum_is_wrong_most_rows_are_read(tmp_path: Path) -> None:
    random = Random(0)
    lines = b"".join(b'{"a": %d, "b": "%x"}\n' % (n, random.getrandbits(60)) for n in range(30_000))
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(lines))
    packed[-1] ^= 1
    found = read(tmp_path / "rows.jsonl.zst", bytes(packed))
    assert len(values(found)) > 20_000
    assert "damaged from here on" in bad(found)[-1][1]


# Encodings and line ends


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_decoded_and_lines_keep_their_numbers(
    encoding: str, tmp_path: Path
) -> None:
    content = '\ufeff{"a": "é😀"}\r\n\r\nbroken\r\n{"a": "中"}'.encode(encoding)
    found = read(tmp_path / "rows.jsonl", content)
    assert [row.line for row in found] == [1, 3, 4]
    assert values(found) == [{"a": "é😀"}, {"a": "中"}]
    assert not holds_lines_in_place(tmp_path / "rows.jsonl")
    table = '\ufeffa,b\r\n1,"é\r\nz"\r\n'.encode(encoding)
    assert values(read(tmp_path / "rows.csv", table)) == [{"a": "1", "b": "é\r\nz"}]
    packed = gzip.compress("\ufeffone\r\ntwo".encode(encoding))
    assert values(read(tmp_path / "rows.txt.gz", packed)) == [{"text": "one"}, {"text": "two"}]


def test_half_a_pair_in_utf16_costs_its_line(tmp_path: Path) -> None:
    broken = '{"a": "'.encode("utf-16-le") + b"\x3d\xd8" + '"}\n'.encode("utf-16-le")
    content = b"\xff\xfe" + '{"a": 1}\n'.encode("utf-16-le") + broken
    found = read(tmp_path / "rows.jsonl", content + '{"a": 3}\n'.encode("utf-16-le") + b"x")
    assert values(found) == [{"a": 1}, {"a": 3}]
    assert [line for line, _ in bad(found)] == [2, 4]
    assert bad(found)[0][1].startswith("not UTF-8 at byte 8 of the line")


def test_latin1_costs_the_lines_that_hold_it(tmp_path: Path) -> None:
    for name, head in (("r.jsonl", b'{"a": 1}\n'), ("r.txt", b"one\n"), ("r.csv", b"a\n1\n")):
        found = read(tmp_path / name, head + b"caf\xe9\n" + head[-9:])
        assert [reason.split(":")[0] for _, reason in bad(found) if "UTF-8" in reason]
        assert values(found)


def test_lines_that_end_in_a_bare_cr(tmp_path: Path) -> None:
    assert values(read(tmp_path / "r.csv", b"a,b\r1,2\r3,4\r")) == [
        {"a": "1", "b": "2"},
        {"a": "3", "b": "4"},
    ]
    assert [row.line for row in read(tmp_path / "r.txt", b"one\rtwo\r")] == [1, 2]
    found = read(tmp_path / "r.jsonl", LINES.replace(b"\n", b"\r"))
    assert found == [Row(1, {"a": 1}), Row(2, {"a": 2})]
    assert not holds_lines_in_place(tmp_path / "r.jsonl")


# Text


def test_a_text_with_blank_lines_is_read_in_blocks(tmp_path: Path) -> None:
    found = read(tmp_path / "book.md", b"\xef\xbb\xbf\n\n# One\nfirst\r\n \n\n  second\n\n\nthird")
    assert found == [
        Row(3, {"text": "# One\nfirst"}),
        Row(7, {"text": "  second"}),
        Row(10, {"text": "third"}),
    ]


def test_a_text_without_blank_lines_between_is_read_by_lines(tmp_path: Path) -> None:
    found = read(tmp_path / "lines.txt", b"\n\none\r\n  two\nthree\n\n\n")
    assert found == [
        Row(3, {"text": "one"}),
        Row(4, {"text": "  two"}),
        Row(5, {"text": "three"}),
    ]


def test_only_the_beginning_of_a_text_decides(tmp_path: Path) -> None:
    found = read(tmp_path / "lines.txt", b"a line\n" * 10_000 + b"\n\nlast\n")
    assert len(found) == 10_001
    assert found[-1] == Row(10_003, {"text": "last"})


def test_what_is_no_text_costs_its_row(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.txt", b"one\ncaf\xe9\nnul\0\nfour")
    assert values(found) == [{"text": "one"}, {"text": "four"}]
    assert bad(found) == [
        (2, "not UTF-8 at byte 4 of the line: save the file in that encoding"),
        (3, "holds NUL bytes: the file was damaged"),
    ]
    found = read(tmp_path / "rows.txt", b"one\n\ntwo\ncaf\xe9\n\nthree")
    assert bad(found) == [(3, "not UTF-8 at byte 4 of line 4: save the file in that encoding")]


def test_a_text_may_begin_as_other_files_do(tmp_path: Path) -> None:
    for start in ("PAR1", "BZh", "PK\x03\x04", "ARROW1"):
        assert values(read(tmp_path / "rows.txt", f"{start} one".encode())) == [
            {"text": f"{start} one"}
        ]


# Arrays


def test_an_array_of_all_that_json_has(tmp_path: Path) -> None:
    rows: Rows = [{"a": '"\\]}{[,', "b": [[], {}, [{"c": "\\"}]]}, {}, {"n": None}]
    for text in (json.dumps(rows), json.dumps(rows, indent=1), f" \n{json.dumps(rows)}\n "):
        found = read(tmp_path / "rows.json", text.encode())
        assert found == [Row(line, row) for line, row in enumerate(rows, start=1)]
    found = read(tmp_path / "rows.json", b'[1, {"a": 1}, "x, y", [2], null]')
    assert values(found) == [{"a": 1}]
    assert bad(found) == [
        (1, "element 1 is a number, not an object"),
        (3, "element 3 is a text, not an object"),
        (4, "element 4 is a list, not an object"),
        (5, "element 5 is null, not an object"),
    ]
    assert read(tmp_path / "rows.json", b"[]") == []


def test_an_array_of_elements_larger_than_a_piece(tmp_path: Path) -> None:
    rows = [{"a": "x" * size, "b": '\\"' * (size // 9)} for size in (3_000_000, 1, 1_048_570)]
    assert values(read(tmp_path / "rows.json", orjson.dumps(rows))) == rows


@given(
    st.lists(
        st.recursive(
            st.integers() | st.text('a"\\\\{}[],é'),
            lambda inner: st.lists(inner) | st.dictionaries(st.text('b"]'), inner),
        )
    ),
    st.integers(1, 9),
    st.sampled_from([None, 1]),
)
def test_elements_are_told_apart_wherever_a_piece_ends(
    array: list[Any], piece: int, indent: int | None
) -> None:
    document = json.dumps(array, indent=indent, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_array, "_PIECE", piece)
        found = list(json_array.elements(BytesIO(document + b" ")))
    assert [json.loads(element) for _, element in found] == array
    assert all(document[start:].startswith(element) for start, element in found)


def test_what_follows_an_array_is_said(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.json", b'[{"a": 1}]\n[{"a": 2}]')
    assert values(found) == [{"a": 1}]
    assert bad(found) == [
        (2, "more follows after the end of the array, which is not read; reading stops there")
    ]


def test_of_a_large_broken_array_the_other_elements_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_ft.data.files.json_rows._SMALL", 8)
    found = read(tmp_path / "rows.json", b'[{"a": 1}, {"a": nul}, {"a": 3}, {"a": 4')
    assert values(found) == [{"a": 1}, {"a": 3}]
    assert [line for line, _ in bad(found)] == [2, 4]
    assert bad(found)[0][1].startswith("element 2 is not valid JSON")
    assert bad(found)[1][1].endswith("it was probably cut off; reading stops there")
    monkeypatch.setattr(json_array, "_PIECE", 4)
    monkeypatch.setattr(json_array, "_BIGGEST_ELEMENT", 64)
    found = read(tmp_path / "rows.json", b'[{"a": 1}, {"a": "' + b"x" * 500 + b'"}]')
    assert values(found) == [{"a": 1}]
    assert bad(found) == [(2, "an element is larger than 64 B; reading stops there")]


# What was written is read

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_NAME = st.text("abcdefg", min_size=1, max_size=4)
_SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | _TEXT  # fmt: skip
_NESTED = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAME, inner, max_size=3)
)
_ANY_ROWS = st.lists(st.dictionaries(_NAME, _NESTED, max_size=4), min_size=1, max_size=8)
_TURN = st.fixed_dictionaries({"role": _TEXT, "content": st.none() | _TEXT})
_TABLE_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "messages": st.none() | st.lists(_TURN, max_size=3),
            "score": st.none() | st.floats(allow_nan=False),
            "n": st.integers(-(2**63), 2**63 - 1),
            "deep": st.lists(st.lists(st.integers(-9, 9), max_size=2), max_size=2),
        }
    ),
    min_size=1,
    max_size=8,
)
_CSV_ROWS = st.lists(
    st.fixed_dictionaries({"a": _TEXT, "b": _TEXT}), min_size=1, max_size=8
)  # fmt: skip
_PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}


@given(_ANY_ROWS, st.sampled_from(["", ".gz", ".zst"]), st.sampled_from([None, 1]))
def test_json_that_was_written_is_read(
    tmp_path: Path, rows: Rows, packed: str, indent: int | None
) -> None:
    pack = _PACKED[packed]
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    array = json.dumps(rows, indent=indent).encode()
    assert values(read(tmp_path / f"a.json{packed}", pack(array))) == rows
    if len(rows) > 1:  # `{"data": [rows]}` alone is taken for its rows
        assert values(read(tmp_path / f"a.jsonl{packed}", pack(lines))) == rows


@given(_CSV_ROWS, st.sampled_from(["", ".gz", ".zst"]))
def test_csv_that_was_written_is_read(tmp_path: Path, rows: Rows, packed: str) -> None:
    quoted = [
        ",".join('"{}"'.format(row[name].replace('"', '""')) for name in "ab") for row in rows
    ]
    content = "\n".join(["a,b", *quoted, ""]).encode()
    assert values(read(tmp_path / f"a.csv{packed}", _PACKED[packed](content))) == rows


@given(_TABLE_ROWS, st.sampled_from(sorted(WRITE_TABLE)), st.integers(1, 4))
def test_tables_that_were_written_are_read(
    tmp_path: Path, rows: Rows, name: str, chunks: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    table = pa.Table.from_pylist(rows)
    WRITE_TABLE[name](tmp_path / name, table)
    assert values(read(tmp_path / name)) == rows
    share = -(-len(rows) // chunks)
    for number, start in enumerate(range(0, len(rows), share)):
        WRITE_TABLE[name](folder / f"{number}-{name}", table.slice(start, share))
    assert values(read(folder)) == rows


@given(st.lists(st.text("ab \t.", min_size=1).filter(str.strip), min_size=1, max_size=9))
def test_text_that_was_written_is_read(tmp_path: Path, lines: list[str]) -> None:
    expected = [{"text": line} for line in lines]
    assert values(read(tmp_path / "a.txt", "\n".join(lines).encode())) == expected
    assert values(read(tmp_path / "a.md", "\n\n".join(lines).encode())) == expected
