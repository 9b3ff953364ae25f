"""Rows are packed as trl packs them, row by row."""

from __future__ import annotations

import random
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data.counts import Counts
from tui_ft.survey.packing import ROWS_AT_ONCE, count_sequences, pack, sequence_of
from tui_ft.survey.tokens import packed_sequences


def _as_trl_packs(lengths: list[int], max_length: int) -> list[list[int]]:
    """Return the sequences that trl's own function makes; a row's tokens are all its number."""
    from datasets import Dataset
    from trl import pack_dataset

    rows = Dataset.from_dict({"input_ids": [[at] * n for at, n in enumerate(lengths)]})
    packed = pack_dataset(rows, max_length, "bfd")
    return [list(dict.fromkeys(row["input_ids"])) for row in packed]


def _lengths(seed: int, rows: int, longest: int) -> list[int]:
    chance = random.Random(seed)
    return [max(0, round(chance.gauss(longest / 3, longest / 4))) for _ in range(rows)]


@pytest.mark.parametrize(
    ("rows", "longest", "max_length"),
    [(300, 40, 64), (999, 700, 512), (1_000, 30, 16), (200, 5, 8), (1, 9, 9)],
)
def test_sequences_are_trls_own(rows: int, longest: int, max_length: int) -> None:
    lengths = _lengths(rows, rows, longest)
    assert pack(lengths, max_length) == _as_trl_packs(lengths, max_length)


def _column(folder: Path, lengths: list[int]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "lengths.u32").write_bytes(array("I", lengths).tobytes())
    return folder


def test_a_thousand_rows_are_packed_at_a_time_without_those_that_are_refused(
    tmp_path: Path,
) -> None:
    # Rows without tokens do not reach the trainer: blocks are counted without them.
    lengths = _lengths(1, 2_600, 200)
    folder = _column(tmp_path / "tokens", lengths)
    reached = [at for at, length in enumerate(lengths) if length]
    expected = [
        [reached[row] for row in rows]
        for rows in _as_trl_packs([lengths[at] for at in reached], 256)
    ]
    assert count_sequences(folder, 256) == len(expected)
    for rows in (expected[0], expected[len(expected) // 2], expected[-1]):
        found = sequence_of(folder, rows[-1], 256)
        assert found is not None
        assert [row.position for row in found.rows] == rows
        assert found.filled == sum(min(lengths[at], 256) for at in rows) / 256
    assert sequence_of(folder, lengths.index(0), 256) is None
    assert sequence_of(folder, len(lengths), 256) is None
    assert len(reached) > 2 * ROWS_AT_ONCE


def test_what_is_cut_off_is_told(tmp_path: Path) -> None:
    folder = _column(tmp_path / "tokens", [10, 100, 22])
    found = sequence_of(folder, 1, 32)
    assert found is not None
    assert [(row.tokens, row.cut) for row in found.rows] == [(32, 68)]
    both = sequence_of(folder, 0, 32)
    assert both is not None
    assert [(row.position, row.tokens, row.cut) for row in both.rows] == [(2, 22, 0), (0, 10, 0)]


@given(st.lists(st.integers(0, 90), max_size=80), st.integers(8, 64))
def test_every_row_is_in_one_sequence_and_none_is_too_long(
    lengths: list[int], max_length: int
) -> None:
    sequences = pack(lengths, max_length)
    assert sorted(at for rows in sequences for at in rows) == [
        at for at, length in enumerate(lengths) if length
    ]
    assert all(sum(min(lengths[at], max_length) for at in rows) <= max_length for rows in sequences)
    counts: Any = {}
    for length in lengths:
        counts[length] = counts.get(length, 0) + 1
    known: Counts = counts
    assert packed_sequences(known, max_length) == len(sequences)
