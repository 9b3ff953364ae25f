from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data import BadLine, DataError, Row, read_rows


def _read(path: Path, content: bytes | str) -> list[Row | BadLine]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path))


def _values(found: list[Row | BadLine]) -> list[dict[str, Any]]:
    return [row.values for row in found if isinstance(row, Row)]


def _bad(found: list[Row | BadLine]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in found if isinstance(row, BadLine)]


def _error(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        read_rows(path)
    return str(raised.value)


def test_jsonl_with_broken_lines(tmp_path: Path) -> None:
    found = _read(
        tmp_path / "rows.jsonl",
        b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": nul}\n[1]\n{"a": "caf\xe9"}\n{"a": "\x00"}\n'
        b'{"a": "\\ud83d"}\n"text"\n{"a": "\xf0\x9f\x98\x80"}\n{"a": "cut',
    )
    assert found[0] == Row(1, {"a": 1})
    assert _values(found) == [{"a": 1}, {"a": "😀"}]
    assert _bad(found) == [
        (3, "not valid JSON: invalid literal, expected 'null' at column 7"),
        (4, "holds a list, not an object"),
        (5, "not UTF-8 at byte 11 of the line: save the file in that encoding"),
        (6, "holds NUL bytes: the file was damaged, or is not UTF-8"),
        (7, "not valid JSON: no low surrogate in string at column 8"),
        (8, "holds a text, not an object"),
        (10, "not valid JSON: it ends in the middle, so it was probably cut off"),
    ]


def test_what_is_quoted_is_harmless(tmp_path: Path) -> None:
    (bad,) = _read(tmp_path / "rows.jsonl", b'{"a": \x1b[31mred\x1b]0;title\x07}' + b"x" * 500)
    assert isinstance(bad, BadLine)
    assert "\x1b" not in bad.excerpt
    assert len(bad.excerpt) <= 61


def test_nan_costs_no_row(tmp_path: Path) -> None:
    (row,) = _read(tmp_path / "rows.jsonl", '{"a": "x", "score": NaN}')
    assert isinstance(row, Row)
    assert row.values["a"] == "x"


@pytest.mark.parametrize(
    "content",
    [
        '[{"a": 1}, {"a": 2}]',
        '[\n  {\n    "a": 1\n  },\n  {\n    "a": 2\n  }\n]\n',
        '{"version": "1", "data": [{"a": 1}, {"a": 2}]}',
        '{"data": [\n{"a": 1},\n{"a": 2}\n]}',
        '{"a": 1}\n{"a": 2}\n',
        '{\n "a": 1\n}\n{\n "a": 2\n}\n',
        '\n\n  {"a": 1}\n  {"a": 2}',
    ],
)
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.ndjson"])
def test_json_is_known_by_its_content(content: str, name: str, tmp_path: Path) -> None:
    assert _values(_read(tmp_path / name, content)) == [{"a": 1}, {"a": 2}]


def test_one_conversation_is_one_row(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}]}
    for content in (json.dumps(row), json.dumps(row, indent=2)):
        assert _values(_read(tmp_path / "rows.json", content)) == [row]


def test_of_a_broken_array_the_good_rows_are_read(tmp_path: Path) -> None:
    content = '[\n  {"a": 1},\n  5,\n  {"a": 2,},\n  {"a": {"b": nul}},\n  {"a": 6}\n]'
    found = _read(tmp_path / "rows.json", content)
    assert _values(found) == [{"a": 1}, {"a": 6}]
    assert [line for line, _ in _bad(found)] == [2, 3, 4]
    assert "line 4 of the file, column 11" in _bad(found)[1][1]


def test_of_an_array_cut_off_the_beginning_is_read(tmp_path: Path) -> None:
    found = _read(tmp_path / "rows.json", '[{"a": 1}, {"a": 2}, {"a": ')
    assert _values(found) == [{"a": 1}, {"a": 2}]
    assert len(_bad(found)) == 1


def test_first_line_broken_is_still_jsonl(tmp_path: Path) -> None:
    found = _read(tmp_path / "rows.jsonl", '{"a": 1\n{"a": 2}\n{"a": 3}\n')
    assert _values(found) == [{"a": 2}, {"a": 3}]
    assert [line for line, _ in _bad(found)] == [1]


def test_a_first_line_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    long = {"a": "x" * 200_000}
    found = _read(tmp_path / "rows.jsonl", f'{json.dumps(long)}\n{{"a": 2}}\nbroken\n')
    assert _values(found) == [long, {"a": 2}]
    assert [line for line, _ in _bad(found)] == [3]


def test_gzip_whatever_the_name(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a": 1}\n{"a": 2}\n', mtime=0)
    for name in ("rows.jsonl.gz", "rows.jsonl"):
        assert _values(_read(tmp_path / name, packed)) == [{"a": 1}, {"a": 2}]
    assert _values(_read(tmp_path / "plain.jsonl.gz", '{"a": 1}')) == [{"a": 1}]
    assert _values(_read(tmp_path / "rows.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0))) == [
        {"a": "1", "b": "2"}
    ]


def test_of_a_gzip_cut_off_the_beginning_is_read(tmp_path: Path) -> None:
    lines = b"".join(
        b'{"a": %d, "b": "%s"}\n' % (n, os.urandom(32).hex().encode()) for n in range(9000)
    )
    packed = gzip.compress(lines, mtime=0)
    found = _read(tmp_path / "rows.jsonl.gz", packed[: len(packed) // 2])
    numbers = [row["a"] for row in _values(found)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 4000
    assert "damaged from here on" in _bad(found)[0][1]


def test_of_a_packed_array_cut_off_the_beginning_is_read(tmp_path: Path) -> None:
    rows = [{"a": n, "b": os.urandom(32).hex()} for n in range(9_000)]
    packed = gzip.compress(json.dumps(rows).encode())
    found = _read(tmp_path / "rows.json.gz", packed[: len(packed) // 2])
    good = _values(found)
    assert len(good) > 4_000
    assert good == rows[: len(good)]
    assert "damaged from here on" in _bad(found)[-1][1]


def test_csv(tmp_path: Path) -> None:
    found = _read(
        tmp_path / "rows.csv",
        b'\xef\xbb\xbfa,b\n1,2\n"x\ny, z",3\n4\n\n5,6,7\n"u"v,1\ncaf\xe9,2\n8,\xc3\xa9\n'
        b'9,n\x00l\n"never closed,1\n2,3\n',
    )
    assert found[0] == Row(2, {"a": "1", "b": "2"})
    assert _values(found) == [
        {"a": "1", "b": "2"},
        {"a": "x\ny, z", "b": "3"},
        {"a": "8", "b": "é"},
    ]
    assert _bad(found) == [
        (5, "has 1 fields where the header has 2"),
        (7, "has 3 fields where the header has 2"),
        (8, "not valid CSV: ',' expected after '\"'"),
        (9, "not UTF-8: save the file in that encoding"),
        (11, "holds NUL bytes: the file was damaged"),
        (12, "a quote is opened and never closed: lines 12 to 13 are lost"),
    ]


def test_csv_with_other_separators(tmp_path: Path) -> None:
    expected = [{"a": "1", "b": "2,5"}]
    assert _values(_read(tmp_path / "rows.tsv", "a\tb\n1\t2,5\n")) == expected
    assert _values(_read(tmp_path / "rows.csv", "a;b\n1;2,5\n")) == expected


def test_csv_with_a_long_field(tmp_path: Path) -> None:
    long = "x" * 1_000_000
    assert _values(_read(tmp_path / "rows.csv", f"a,b\n{long},2\n")) == [{"a": long, "b": "2"}]


def test_csv_that_names_a_column_twice(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(DataError, match="line 1: the header names the column `a` twice"):
        list(read_rows(tmp_path / "rows.csv"))


def test_a_missing_file_and_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    said = _error(tmp_path / "trian.jsonl")
    assert said == f"there is no file {tmp_path}/trian.jsonl; did you mean {tmp_path}/train.jsonl?"
    assert _error(tmp_path / "no" / "rows.jsonl").startswith("there is no file")


def test_a_folder_of_nothing_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("About")
    (tmp_path / "model.bin").write_text("")
    assert _error(tmp_path).startswith(f"{tmp_path} is a folder without a file that is read. Read")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.jsonl", b"", "is empty"),
        ("rows.jsonl", b"\xef\xbb\xbf \n\n ", "is empty: it holds only white space"),
        ("rows.csv", b"", "is empty"),
        ("rows.jsonl.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("rows.parquet", b"PAR1", "is no Parquet file, or is damaged or cut off: "),
        ("rows.jsonl", b"PAR1\x00\x01", "is no Parquet file, or is damaged or cut off: "),
        ("rows.arrow", b"{}", "is no Arrow file, or is damaged or cut off: "),
        ("rows.arrow", b"", "is no Arrow file, or is damaged or cut off: "),
        ("rows.parquet.gz", gzip.compress(b"PAR1", mtime=0), "convert it with: gunzip -k"),
        ("rows.jsonl.zst", b"(\xb5/\xfd", "cannot be read: it ends within a frame"),
        ("rows.json", b"PK\x03\x04", "is not read; convert it with: unzip"),
        ("rows.jsonl.bz2", b"BZh9", "is not read; convert it with: bzip2 -dk"),
        ("my rows.xz", b"", "my rows.xz'. Read are .jsonl"),
        ("rows.xlsx", b"PK\x03\x04", "is not read; convert it with: soffice --headless"),
        ("rows.bin", b"x", "is of a kind that is not read. Read are .jsonl, .json, .csv, "),
        (
            "rows.jsonl.gz",
            gzip.compress(b"{}", mtime=0)[:5],
            "cannot be read: Compressed file ended",
        ),
    ],
)
def test_what_cannot_be_read_at_all(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in _error(tmp_path / name)


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    assert _error(tmp_path / "rows.jsonl").endswith(
        "rows.jsonl is no regular file; write its rows to one first"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_one_may_not_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    (tmp_path / "rows.jsonl").chmod(0)
    assert _error(tmp_path / "rows.jsonl").endswith("cannot be read: Permission denied")


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.jsonl").write_text('{"a": 1}')
    assert [row.line for row in read_rows("~/rows.jsonl")] == [1]


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' * 100_000)
    rows = read_rows(path)
    assert next(rows) == Row(1, {"a": 1})
    path.write_text("")  # what is not read yet is gone, and nothing had been read ahead of need
    assert sum(1 for _ in rows) < 99_999


_HALF_PAIR = '{"a": "\\ud83d", "score": NaN}'


def test_half_of_a_character_is_no_text(tmp_path: Path) -> None:
    """No tokenizer takes it; Python's JSON reader, which NaN needs, lets it through."""
    found = _read(tmp_path / "rows.jsonl", f'{{"a": 1}}\n{_HALF_PAIR}\n')
    assert _values(found) == [{"a": 1}]
    assert _bad(found)[0][0] == 2
    found = _read(tmp_path / "rows.json", f'[{{"a": 1}}, {_HALF_PAIR}, {{"a": "\\ud83d\\ude00"}}]')
    assert _values(found) == [{"a": 1}, {"a": "😀"}]
    assert _bad(found) == [(2, "element 2 holds text that is no UTF-8")]


@pytest.mark.parametrize("value", ["1" * 5_000, "[" * 100_000], ids=["digits", "levels"])
def test_what_python_cannot_read_costs_one_row(value: str, tmp_path: Path) -> None:
    found = _read(tmp_path / "rows.json", f'[\n{{"a": {value}}},\n{{"a": 2}},\n{{"a": nul}}\n]')
    assert _values(found) == [{"a": 2}]
    assert [line for line, _ in _bad(found)] == [1, 3]
    assert "nested too deeply, or holds too long a number" in _bad(found)[0][1]
    found = _read(tmp_path / "rows.jsonl", f'{{"a": {value}, "b": NaN}}\n{{"a": 2}}\n')
    assert _values(found) == [{"a": 2}]


def test_what_is_lost_after_a_broken_element_is_said(tmp_path: Path) -> None:
    found = _read(tmp_path / "rows.json", '[{"a": 1}, {"a": nul}, {"a": 3}]')
    assert _values(found) == [{"a": 1}]
    assert _bad(found)[0][1].endswith("is not valid JSON: Expecting value; reading stops there")


def test_the_sign_for_a_lost_character_is_a_character(tmp_path: Path) -> None:
    found = _read(tmp_path / "rows.json", '[\n{"a": "\ufffd"},\n{"a": nul}\n]')
    assert _values(found) == [{"a": "\ufffd"}]
    found = _read(tmp_path / "rows.json", b'[\n{"a": "caf\xe9"},\n{"a": 2}\n]')
    assert _values(found) == [{"a": 2}]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"pr\xe9,b", "line 1, the header: not UTF-8"),
        (b"a\x00,b", "line 1, the header: holds NUL"),
        (b"\x1b[31ma,\x1b[31ma", "names the column `a` twice"),
    ],
)
def test_a_csv_header_that_is_no_text(header: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(header + b"\n1,2\n")
    with pytest.raises(DataError, match=said):
        list(read_rows(tmp_path / "rows.csv"))


def test_a_csv_file_of_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert _read(tmp_path / "rows.csv", "a,b\n") == []


def test_gzip_in_several_members(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a": 1}\n', mtime=0) + gzip.compress(b'{"a": 2}\n', mtime=0)
    assert _values(_read(tmp_path / "rows.jsonl.gz", packed)) == [{"a": 1}, {"a": 2}]
    found = _read(tmp_path / "rows.jsonl.gz", packed + b"rest")
    assert _values(found) == [{"a": 1}, {"a": 2}]
    assert [line for line, _ in _bad(found)] == [3]


_BITS = st.sampled_from(
    [b'{"a": 1}', b"[", b"{", b"}", b"]", b",", b'"', b"\n", b"nul", b"\xef\xbb\xbf", b"\xe9",
     b"\\", b" ", b"NaN", b"\x00", b"\t", b";", b"a,b\n", b"1,2\n", b"\r", b"\x1f\x8b"]
)  # fmt: skip


@given(
    st.lists(_BITS, max_size=10).map(b"".join),
    st.sampled_from(["jsonl", "json", "csv", "tsv", "jsonl.gz"]),
    st.none() | st.integers(0, 40),
)
def test_no_file_whatever_it_holds_breaks_the_reader(
    tmp_path: Path, content: bytes, suffix: str, packed: int | None
) -> None:
    content = content if packed is None else gzip.compress(content, mtime=0)[:packed]
    try:
        found = _read(tmp_path / f"rows.{suffix}", content)
    except DataError as error:
        assert str(tmp_path) in str(error) or "rows." in str(error)
        return
    lines = [row.line for row in found]
    assert lines == sorted(lines)
    assert all(line >= 1 for line in lines)
