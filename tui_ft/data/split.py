"""Hold rows out for evaluation: the same rows for the same seed, on every machine and version."""

from __future__ import annotations

import hashlib


def held_out(rows: int, fraction: float, seed: int, at_most: int | None = None) -> frozenset[int]:
    """Return the positions (from 0) of the rows held out.

    Each position is ranked by a hash of seed and position, and the lowest ranks are taken: unlike
    a shuffle by a library's generator, that never changes. At least one row is left to train on,
    and at least one is held out when ``fraction`` is above zero and there are two rows.

    Args:
        rows: how many rows there are.
        fraction: the share to hold out, 0 to below 1.
        seed: decides which.
        at_most: never hold out more than this.
    """
    if rows < 2 or fraction <= 0:  # noqa: PLR2004 - one row cannot be split
        return frozenset()
    number = max(1, min(round(rows * fraction), rows - 1))
    if at_most is not None:
        number = min(number, at_most)
    return frozenset(sorted(range(rows), key=lambda position: _rank(seed, position))[:number])


def _rank(seed: int, position: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
