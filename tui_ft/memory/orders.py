"""Orders in which a run's batches may follow each other, as far as their lengths go."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from tui_ft.memory.step import PAIRED, Step

ORDERS: Final = 3
STEPS: Final = 12
"""Steps of an order. More of them cut memory up a little more: the least memory that Llama-3.2-3B
runs in with batches of 4 x 60 to 690 tokens grows by 1.5 % from 8 steps to 32."""


def orders_of(step: Step, lengths: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return orders of batches, drawn from the rows of a data set; the same ones at every call.

    Each batch is as long as the longest of its rows; one batch of each order has the step's own
    length. Where rows are not padded to each other there is nothing to be drawn.

    Args:
        step: for the rows of a batch, and the longest length, in tokens.
        lengths: of the data set's rows.
    """
    kept = [min(length, step.length) for length in lengths if length > 0]
    if not step.padded or len(set(kept)) < 2:  # noqa: PLR2004 - rows of one length
        return ()
    rows = step.batch * (2 if step.objective in PAIRED else 1)
    source = random.Random(0)  # noqa: S311 - no secret
    found = []
    for _ in range(ORDERS):
        order = [max(source.choices(kept, k=rows)) for _ in range(STEPS)]
        order[source.randrange(1, STEPS)] = step.length
        found.append(tuple(order))
    return tuple(found)
