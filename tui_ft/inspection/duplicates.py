"""Rows that say the same, and prompts with several answers: found by their hashes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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


def same_hash(hashes: npt.NDArray[np.uint64], usable: npt.NDArray[np.bool_]) -> Groups:
    """Return the groups of usable rows with one hash."""
    positions = np.flatnonzero(usable)
    order = positions[np.argsort(hashes[positions], kind="stable")]
    return _runs(order, hashes[order])


def conflicting(
    prompts: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.uint64],
    usable: npt.NDArray[np.bool_],
) -> Groups:
    """Return the groups of rows with one prompt and more than one answer."""
    positions = np.flatnonzero(usable & (prompts != 0))
    order = positions[np.lexsort((rows[positions], prompts[positions]))]
    groups = _runs(order, prompts[order])
    # Sorted by row within a prompt: first and last differ unless all are the same.
    first, last = rows[groups.members[groups.starts]], rows[groups.members[groups.ends - 1]]
    return _chosen(groups, first != last)


def from_roots(roots: npt.NDArray[np.int64]) -> Groups:
    """Return the groups of rows with one root, where each row's is its own to begin with."""
    order = np.argsort(roots, kind="stable")
    return _runs(order, roots[order])


def _runs(order: npt.NDArray[np.int64], keys: npt.NDArray) -> Groups:  # type: ignore[type-arg]
    """Return the runs of equal keys that are longer than one."""
    if not len(order):
        return Groups(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
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
