from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.8124, "0.812"),
        (1.9, "1.90"),
        (12.34, "12.3"),
        (1240, "1,240"),
        (0.0123, "0.0123"),
        (2e-4, "2.00e-4"),
        (-3.14159, "-3.14"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_three_significant_digits(value: float, shown: str) -> None:
    assert text.significant(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(950, "950"), (1_240, "1.24 k"), (999_600, "1.00 M"), (1.5e9, "1.50 G"), (None, "n/a")],
)
def test_counts(value: float | None, shown: str) -> None:
    assert text.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(164e6, "164 MB"), (61.2e9, "61.2 GB"), (10, "10 B"), (1.2e12, "1.20 TB"), (None, "n/a")],
)
def test_sizes_are_decimal(value: float | None, shown: str) -> None:
    assert text.size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (14, "0:14"),
        (605, "10:05"),
        (3_600, "1:00:00"),
        (97_200, "1d 03h"),
        (None, "n/a"),
        (math.inf, "n/a"),
    ],
)
def test_times(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_ages_and_shares() -> None:
    assert [text.age(s) for s in (5, 300, 7_200, 90_000)] == ["5s", "5m", "2h", "1d"]
    assert [text.percent(s) for s in (0, 0.004, 0.98, 1)] == ["0 %", "0.4 %", "98 %", "100 %"]
    assert text.percent(None) == "n/a"


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x00b\x7fc", "a␀b␡c"),
        ("\x9b31m", "\ufffd31m"),
        ("user\u202etxt.exe", "user\ufffdtxt.exe"),
        ("line\nbreak\ttab", "line break tab"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("[bold]no markup is touched[/]", "[bold]no markup is touched[/]"),
    ],
)
def test_nothing_foreign_drives_the_terminal(foreign: str, shown: str) -> None:
    assert text.plain(foreign) == shown


@given(st.text())
def test_plain_text_has_no_control_character_left(foreign: str) -> None:
    shown = text.plain(foreign)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert text.plain(shown) == shown


@given(st.text(), st.integers(0, 40))
def test_one_line_is_never_wider_than_asked(foreign: str, width: int) -> None:
    line = text.one_line(foreign, width)
    assert len(line) <= width
    assert "\n" not in line


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.9996, "1.00"), (999.6, "1,000"), (0.00099, "9.90e-4"), (-0.0, "0"), (1e-300, "1.00e-300")],
)
def test_digits_are_those_of_the_rounded_value(value: float, shown: str) -> None:
    assert text.significant(value) == shown


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.count(999.6), "1.00 k"),
        (text.count(-1_500), "-1.50 k"),
        (text.count(math.nan), "n/a"),
        (text.size(999_999), "1.00 MB"),
        (text.memory(24 << 30), "24.0 GiB"),
        (text.memory(79.65 * 2**30), "79.7 GiB"),
        (text.memory(300 << 20), "300 MiB"),
        (text.memory(None), "n/a"),
        (text.gibibytes(61.24 * 2**30), "61.2"),
        (text.gibibytes(None), "n/a"),
        (text.duration(59.6), "1:00"),
        (text.duration(3_599.7), "1:00:00"),
        (text.duration(-5), "0:00"),
        (text.duration(math.nan), "n/a"),
        (text.age(59.9), "59s"),
        (text.age(-5), "0s"),
        (text.age(None), "n/a"),
        (text.percent(math.nan), "n/a"),
        (text.percent(0.0999), "10.0 %"),
        (text.percent(2), "200 %"),
    ],
)
def test_borders_between_units(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("code", [0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_no_direction_is_changed(code: int) -> None:
    assert text.plain(f"a{chr(code)}b") == "a\ufffdb"


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[38;2;1;2;3m",
        "\x1b[?1049h",
        "\x1b]52;c;aGk=\x07",
        "\x1b]0;never ended",
        "\x1bPq#0\x1b\\",
        "\x1b_Gf=24\x1b\\",
        "\x1bc",
        "\x1b",
    ],
)
def test_no_escape_sequence_is_left(sequence: str) -> None:
    assert text.plain(f"a{sequence}") == "a"


def test_lines_are_kept_where_they_are_wanted() -> None:
    assert text.plain("a\n\tb\r\x1b[1mc", keep_newlines=True) == "a\n    b␍c"


def test_what_people_write_stays() -> None:
    written = "Grüße 日本語 👩‍👩‍👧 e\u0301 ﬁ ½"
    assert text.plain(written) == written


def test_wide_characters_are_counted_in_cells() -> None:
    assert text.one_line("法国的首都是巴黎", 9) == "法国的首…"
    assert text.fitted("法国", 6) == "法国  "
    assert text.fitted("a long word", 6) == "a lon…"
    assert text.fitted("🚀 go", 8) == "🚀 go   "


def test_of_a_path_the_end_is_kept() -> None:
    assert text.ending("rows.jsonl", 10) == "rows.jsonl"
    assert text.ending("/a/long/way/to/rows.jsonl", 12) == "…/rows.jsonl"
    assert text.ending("/data/数据集.jsonl", 12) == "…据集.jsonl"
    assert text.ending("\x1b[31ma/b", 8) == "a/b"
