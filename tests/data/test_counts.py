from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data.counts import histogram, percentiles

_COUNTS = st.dictionaries(st.integers(1, 300), st.integers(1, 20), min_size=1, max_size=20)


def test_percentiles_are_the_nearest_rank() -> None:
    assert percentiles({10: 50, 20: 45, 99: 5}, (50, 90, 95, 99, 100)) == (10, 20, 20, 99, 99)
    assert percentiles({}, (50, 99)) == (0, 0)


@given(_COUNTS, st.integers(1, 60))
def test_a_histogram_holds_every_row(counts: dict[int, int], bins: int) -> None:
    filled, width = histogram(counts, bins)
    assert len(filled) == bins
    assert sum(filled) == sum(counts.values())
    assert width >= 1
