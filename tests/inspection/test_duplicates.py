"""Rows with one hash are found part by part as by looking at all of them together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_ft.inspection import columns, duplicates
from tui_ft.inspection.columns import Column, ColumnWriter
from tui_ft.inspection.duplicates import Groups

# Few values, so that many are equal, over all parts: which one a key is in, its first bits say.
_HASHES = st.sampled_from([n << 61 | m for n in range(8) for m in range(2)])
_ROWS = st.lists(st.tuples(_HASHES, _HASHES, st.booleans()), max_size=40)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_PART_BITS", 2)
    monkeypatch.setattr(columns, "BLOCK", 3)
    monkeypatch.setattr(duplicates, "BLOCK", 3)


@settings(max_examples=150)
@given(_ROWS)
def test_as_by_looking_at_all_together(tmp_path: Path, given: list[tuple[int, int, bool]]) -> None:
    prompts, rows, unusable = _written(tmp_path, given)
    by_row, by_prompt = defaultdict(list), defaultdict(list)
    for position, (prompt, row, is_unusable) in enumerate(given):
        if not is_unusable and row:
            by_row[row].append(position)
        if not is_unusable and prompt:
            by_prompt[prompt].append(position)
    same = [group for group in by_row.values() if len(group) > 1]
    several = [group for group in by_prompt.values() if len({given[n][1] for n in group}) > 1]
    found = duplicates.same_hash(rows, unusable)
    assert sorted(_lists(found)) == sorted(same)
    assert found.later().tolist() == sorted(n for group in same for n in group[1:])
    conflicts = duplicates.conflicting(prompts, rows, unusable)
    assert sorted(map(sorted, _lists(conflicts))) == sorted(several)


def _written(folder: Path, given: list[tuple[int, int, bool]]) -> tuple[Column, Column, Column]:
    with ColumnWriter(folder) as writer:
        for name, at in (("prompts.u64", 0), ("rows.u64", 1)):
            writer.append(name, np.array([row[at] for row in given], np.uint64).tobytes())
        writer.append("unusable.u8", bytes(row[2] for row in given))
    return (
        Column(folder / "prompts.u64", np.uint64),
        Column(folder / "rows.u64", np.uint64),
        Column(folder / "unusable.u8", np.uint8),
    )


def _lists(groups: Groups) -> list[list[int]]:
    pairs = zip(groups.starts, groups.ends, strict=True)
    return [groups.members[start:end].tolist() for start, end in pairs]
