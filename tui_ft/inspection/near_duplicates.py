"""Rows that say nearly the same: MinHash and bands, then the real overlap of each candidate.

Signatures of 128 permutations in 16 bands of 8 rows (Leskovec, Rajaraman, Ullman: Mining of Massive
Datasets, 3.4): two rows of Jaccard similarity 0.8 share a band with probability
1 - (1 - 0.8^8)^16 = 95 %, of 0.9 with 99.99 %, of 0.5 with 6 %. A candidate counts once the real
similarity of its shingles is 0.8 or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from tui_ft.inspection.duplicates import Groups, from_roots
from tui_ft.inspection.rows_again import RowsAgain

BANDS: Final = 16
_ROWS: Final = 8
_PERMUTATIONS: Final = BANDS * _ROWS
_SEED: Final = 42
SIMILAR: Final = 0.8
_LETTERS: Final = 5
_LONG_WORD: Final = 20
_CACHED: Final = 4_096
_COMPARED: Final = 64

ShingleSet = Callable[[int], frozenset[str]]


def shingles(text: str) -> list[str]:
    """Return what two texts are compared by: pairs of words, in lower case.

    Texts written without spaces (Chinese, Japanese, Thai) are compared by runs of 5 characters.
    """
    words = text.lower().split()
    if len(text) > _LONG_WORD * max(1, len(words)):
        flat = "".join(words)
        return [flat[n : n + _LETTERS] for n in range(max(1, len(flat) - _LETTERS + 1))]
    if len(words) < 2:  # noqa: PLR2004 - a pair takes two
        return words
    return [f"{one} {two}" for one, two in pairwise(words)]


def band_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return for each text a hash of each band, shape (texts, bands)."""
    digests = RMinHash.digests_from_token_sets(
        [shingles(text) for text in texts], _PERMUTATIONS, _SEED
    )
    signatures = np.asarray(digests, dtype=np.uint64).reshape(len(texts), BANDS, _ROWS)
    weights = np.random.default_rng(_SEED).integers(1, 1 << 63, size=_ROWS, dtype=np.uint64)
    mixed = (signatures * (weights * np.uint64(2) + np.uint64(1))).sum(axis=2, dtype=np.uint64)
    return np.asarray(mixed ^ (mixed >> np.uint64(29)), dtype=np.uint64)


def group(
    bands: Iterable[npt.NDArray[np.uint64]], positions: npt.NDArray[np.int64], rows: RowsAgain
) -> Groups:
    """Return the groups of near duplicates.

    Args:
        bands: for each band the hashes of the rows compared.
        positions: the rows compared, by position; one of each set of exact duplicates.
        rows: to compare the texts themselves.
    """
    roots = np.arange(len(positions), dtype=np.int64)

    @lru_cache(maxsize=_CACHED)
    def shingle_set(row: int) -> frozenset[str]:
        view = rows.view(int(positions[row]))
        return frozenset(shingles(view.whole)) if view is not None else frozenset()

    for hashes in bands:
        _join_band(hashes, roots, shingle_set)
    # Flattened, so that every row names the first of its group.
    while not np.array_equal(flat := roots[roots], roots):
        roots = flat
    found = from_roots(roots)
    return Groups(positions[found.members], found.starts)


def _join_band(
    hashes: npt.NDArray[np.uint64], roots: npt.NDArray[np.int64], shingle_set: ShingleSet
) -> None:
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    last, leaders = -2, list[int]()
    for at in same.tolist():
        if at != last + 1:  # a new run of equal hashes
            leaders = [int(order[at])]
        last = at
        _join(int(order[at + 1]), leaders, roots, shingle_set)


def _join(
    row: int, leaders: list[int], roots: npt.NDArray[np.int64], shingle_set: ShingleSet
) -> None:
    """Join ``row`` with the first of ``leaders`` that it is like; else it leads others itself."""
    mine = _root(roots, row)
    for leader in leaders:
        theirs = _root(roots, leader)
        if mine == theirs:
            return
        if similarity(shingle_set(row), shingle_set(leader)) >= SIMILAR:
            low, high = sorted((mine, theirs))
            roots[high] = low
            return
    if len(leaders) < _COMPARED:
        leaders.append(row)


def _root(roots: npt.NDArray[np.int64], row: int) -> int:
    while roots[row] != row:
        roots[row] = roots[roots[row]]
        row = int(roots[row])
    return row


def similarity(one: frozenset[str], two: frozenset[str]) -> float:
    """Return the Jaccard similarity of two sets: shared over all."""
    shared = len(one & two)
    return shared / (len(one) + len(two) - shared) if shared else 0.0
