from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tui_ft.survey.tokens import NEVER, TokenSummary, packed_sequences, steps_per_epoch

_COUNTS = st.dictionaries(st.integers(1, 300), st.integers(1, 20), min_size=1, max_size=20)


def test_what_a_max_length_cuts() -> None:
    summary = TokenSummary(
        model="m",
        stage="done",
        rows=4,
        lengths={100: 3, 500: 1},
        first_learned={20: 3, 300: 1},
        first_end={100: 3, NEVER: 1},
    )
    cut = summary.at(200)
    assert (cut.rows_cut, cut.tokens_lost, cut.unlearned, cut.unended) == (1, 300, 1, 1)
    assert (cut.rows_share, cut.tokens_share) == (0.25, 300 / 800)
    assert summary.at(500).rows_cut == 0
    assert summary.recommended_max_length() == 512
    assert summary.recommended_max_length(context=256) == 256


def test_packing_fills_sequences() -> None:
    assert packed_sequences({50: 4}, 100) == 2
    assert packed_sequences({60: 2, 40: 2}, 100) == 2
    assert packed_sequences({60: 3}, 100) == 3
    assert packed_sequences({500: 2}, 100) == 2
    assert steps_per_epoch(33, 16) == 3


@given(_COUNTS, st.integers(8, 300))
def test_packing_needs_no_less_than_its_tokens_and_no_more_than_its_rows(
    counts: dict[int, int], max_length: int
) -> None:
    tokens = sum(min(length, max_length) * rows for length, rows in counts.items())
    packed = packed_sequences(counts, max_length)
    assert math.ceil(tokens / max_length) <= packed <= sum(counts.values())
    # Decreasing fits of any kind need at most 11/9 of the fewest, and one more.
    assert packed <= 2 * tokens / max_length + 1
