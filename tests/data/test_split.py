from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data import held_out


def test_the_same_on_every_machine() -> None:
    """Written down once: a change of these numbers would mix held-out rows into training."""
    assert sorted(held_out(100, 0.05, 42)) == EXPECTED_42
    assert sorted(held_out(100, 0.05, 43)) != EXPECTED_42


def test_fewer_are_the_first_of_more() -> None:
    assert held_out(100, 0.05, 42) < held_out(100, 0.1, 42)
    assert held_out(100, 0.5, 42, at_most=5) == held_out(100, 0.05, 42)


@pytest.mark.parametrize(
    ("rows", "fraction", "expected"),
    [(0, 0.5, 0), (1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0, 0), (1000, 0.05, 50)],
)
def test_how_many(rows: int, fraction: float, expected: int) -> None:
    assert len(held_out(rows, fraction, seed=1)) == expected


@given(st.integers(0, 300), st.floats(0, 0.99), st.integers(0, 2**32))
def test_something_is_left_to_train_on(rows: int, fraction: float, seed: int) -> None:
    out = held_out(rows, fraction, seed)
    assert out <= set(range(rows))
    assert len(out) < max(rows, 1)


EXPECTED_42 = [18, 27, 63, 84, 97]
