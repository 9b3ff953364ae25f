"""Rows that say the same, and prompts with several answers: found by their hashes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tui_ft.inspection.columns import BLOCK, Column

_PART_BITS: Final = 18
"""Rows of a part, about, as a power of two."""

_Array = npt.NDArray[Any]
_NONE: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows that belong together.

    Attributes:
        members: positions of all rows in groups, group after group, each in rising order.
        starts: where in `members` each group begins.
    """

    members: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.starts)

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """Where in `members` each group ends."""
        return np.append(self.starts[1:], len(self.members))[: len(self.starts)]

    def later(self) -> npt.NDArray[np.int64]:
        """Return the positions of all but the first of each group, rising."""
        keep = np.ones(len(self.members), dtype=bool)
        keep[self.starts] = False
        return np.sort(self.members[keep])

    def lists(self, most: int, of_each: int) -> list[list[int]]:
        """Return the largest groups, ``of_each`` positions at most."""
        largest = np.argsort(self.starts - self.ends, kind="stable")[:most]
        ends = self.ends
        return [self.members[self.starts[g] : ends[g]][:of_each].tolist() for g in largest]


def same_hash(hashes: Column, unusable: Column) -> Groups:
    """Return the groups of usable rows with one hash; rows with 0 have none."""
    return _joined(_equal(keys, positions) for positions, keys in _parts(unusable, hashes))


def conflicting(prompts: Column, rows: Column, unusable: Column) -> Groups:
    """Return the groups of usable rows with one prompt and more than one answer.

    Args:
        prompts: hashes of what stands before the answer; 0 for nothing.
        rows: hashes of the whole.
        unusable: 1 for a row that is not.
    """
    return _joined(
        _with_several(prompts_of, rows_of, positions)
        for positions, prompts_of, rows_of in _parts(unusable, prompts, rows)
    )


def _parts(unusable: Column, keys: Column, *beside: Column) -> Iterator[tuple[_Array, ...]]:
    """Return usable rows part by part: their positions, keys, and what is beside these.

    All rows of one key are in one part. A part is small however many rows there are, so that
    sorting them takes no more memory for more of them.
    """
    bits = max(0, (len(keys) - 1).bit_length() - _PART_BITS)
    for part in range(1 << bits):
        picked = []
        for start in range(0, len(keys), BLOCK):
            some = keys.block(start)
            wanted = (some != 0) & (unusable.block(start) == 0)
            if bits:
                wanted &= some >> np.uint64(64 - bits) == part
            at = np.flatnonzero(wanted)
            picked.append((at + start, some[at], *(column.block(start)[at] for column in beside)))
        if picked:
            yield tuple(np.concatenate(column) for column in zip(*picked, strict=True))


def _equal(keys: _Array, positions: _Array) -> Groups:
    order = np.argsort(keys, kind="stable")
    return _runs(positions[order], keys[order])


def _with_several(prompts: _Array, rows: _Array, positions: _Array) -> Groups:
    order = np.lexsort((rows, prompts))
    rows = rows[order]
    groups = _runs(np.arange(len(order)), prompts[order])
    # Sorted by row within a prompt: first and last differ unless all are the same.
    first, last = rows[groups.members[groups.starts]], rows[groups.members[groups.ends - 1]]
    found = _chosen(groups, first != last)
    return Groups(positions[order[found.members]].astype(np.int64), found.starts)


def _joined(parts: Iterable[Groups]) -> Groups:
    members, starts, size = [_NONE], [_NONE], 0
    for part in parts:
        members.append(part.members)
        starts.append(part.starts + size)
        size += len(part.members)
    return Groups(np.concatenate(members), np.concatenate(starts))


def from_roots(roots: npt.NDArray[np.int64]) -> Groups:
    """Return the groups of rows with one root, where each row's is its own to begin with."""
    order = np.argsort(roots, kind="stable")
    return _runs(order, roots[order])


def _runs(order: npt.NDArray[np.int64], keys: _Array) -> Groups:
    """Return the runs of equal keys that are longer than one."""
    if not len(order):
        return Groups(_NONE, _NONE)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    sizes = np.diff(np.append(starts, len(keys)))
    everything = Groups(order.astype(np.int64), starts.astype(np.int64))
    return _chosen(everything, sizes > 1)


def _chosen(groups: Groups, wanted: npt.NDArray[np.bool_]) -> Groups:
    """Return only the groups that are wanted."""
    sizes = groups.ends - groups.starts
    members = groups.members[np.repeat(wanted, sizes)]
    kept = sizes[wanted]
    return Groups(members, (np.cumsum(kept) - kept).astype(np.int64))


def as_positions(positions: npt.NDArray[np.int64]) -> array[int]:
    """Return positions as a column has them."""
    column = array("Q")
    column.frombytes(positions.astype(np.uint64).tobytes())
    return column
