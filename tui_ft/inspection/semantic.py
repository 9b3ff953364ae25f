"""Rows that mean the same in other words: cosines of their vectors above 0.95.

Every row is compared with every other, block by block, so memory does not grow with the rows: the
vectors lie in a file, and of the products only the pairs that are alike are kept. The time grows
with the square of the rows: 2 n^2 d operations for n rows and vectors of d figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tui_ft import paths
from tui_ft.inspection import embedding
from tui_ft.inspection.duplicates import Groups, from_roots
from tui_ft.inspection.pool import in_order, one_process
from tui_ft.inspection.rows_again import RowsAgain
from tui_ft.survey.summary import Stage

ALIKE: Final = 0.95
"""As SemDeDup (arXiv:2303.09540) and the fine-tuning guides take it."""

_EMBEDDED: Final = 512
_COMPARED: Final = 1_024

Tell = Callable[[Stage, float], None]


def semantic_groups(
    rows: RowsAgain,
    positions: npt.NDArray[np.int64],
    model: Path,
    scratch: Path,
    tell: Tell,
) -> Groups:
    """Return the groups of rows that mean the same.

    Args:
        positions: the rows compared; one of each set of other duplicates.
        model: the encoder's folder.
        scratch: a file that takes the vectors for the time being.
        tell: called with the stage and how much of it is done.

    Raises:
        DataError: the model cannot be used.
    """
    paths.write_atomically(scratch, b"")
    try:
        with one_process() as process:
            process.submit(embedding.prepare, rows, positions, model, scratch).result()
            for span, _ in in_order(process, embedding.embed, _spans(len(positions), _EMBEDDED)):
                tell("embedding", span[1] / len(positions))
            roots = _joined(process, len(positions), tell)
    finally:
        scratch.unlink(missing_ok=True)
    found = from_roots(roots)
    return Groups(positions[found.members], found.starts)


def _joined(process: Executor, count: int, tell: Tell) -> npt.NDArray[np.int64]:
    """Return for each row the first of its group, its own number for none."""
    roots = np.arange(count, dtype=np.int64)
    blocks = list(_spans(count, _COMPARED))
    pairs = ((one, two) for n, one in enumerate(blocks) for two in blocks[n:])
    whole = len(blocks) * (len(blocks) + 1) // 2
    task = partial(embedding.compare, least=ALIKE)
    for done, ((one, two), found) in enumerate(in_order(process, task, pairs), start=1):
        join(roots, found[0].astype(np.int64) + one[0], found[1].astype(np.int64) + two[0])
        tell("semantic duplicates", done / whole)
    return roots


def join(
    roots: npt.NDArray[np.int64], one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]
) -> None:
    """Join the groups of the rows of each pair; every row then names the first of its group.

    Args:
        roots: for each row the first of its group, as this returns them too.
        one: the pairs' first rows.
        two: their second ones.
    """
    while (apart := roots[one] != roots[two]).any():
        one, two = one[apart], two[apart]
        first, second = roots[one], roots[two]
        np.minimum.at(roots, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(flat := roots[roots], roots):
            roots[:] = flat


def _spans(count: int, of_each: int) -> Iterator[tuple[int, int]]:
    return ((at, min(count, at + of_each)) for at in range(0, count, of_each))
