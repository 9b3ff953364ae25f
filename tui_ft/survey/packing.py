"""Which rows share a sequence when they are packed, as trl packs them.

Best fit decreasing (arXiv:2404.10830), trl's `packing_strategy="bfd"`: rows are cut to the
`max_length`; the longest comes first, each goes into the sequence that it fills best, into the
oldest of those that it fills alike. trl packs 1,000 rows at a time (`datasets.map`'s batch), so a
row shares its sequence only with rows of its own thousand.
"""

from __future__ import annotations

import os
import sys
from array import array
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROWS_AT_ONCE: Final = 1_000
"""How many rows trl packs at a time: `datasets.map` hands over so many."""

_COLUMN: Final = "lengths.u32"
_WORD: Final = 4
_WORDS_READ: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class PackedRow:
    """A row in a sequence: its position in the data set, its tokens there, those cut off."""

    position: int
    tokens: int
    cut: int


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """Rows one after the other in a sequence of at most ``max_length`` tokens."""

    rows: tuple[PackedRow, ...]
    max_length: int

    @property
    def tokens(self) -> int:
        """The tokens of its rows together."""
        return sum(row.tokens for row in self.rows)

    @property
    def filled(self) -> float:
        """The share of `max_length` that holds tokens."""
        return self.tokens / self.max_length


def length_of(folder: Path, position: int) -> int | None:
    """Return the tokens of one row before anything is cut; None while it is not counted."""
    try:
        with (folder / _COLUMN).open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), _WORD, position * _WORD)
    except OSError:
        return None
    return int.from_bytes(data, sys.byteorder) if len(data) == _WORD else None


def pack(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Return sequences of indices into ``lengths``, in trl's order; empty rows are in none.

    Args:
        lengths: tokens of each row, as many rows as are packed at a time.
        max_length: tokens in a sequence; longer rows are cut to it.
    """
    kept = [min(length, max_length) for length in lengths]
    # A stable sort, as Arrow's is: of rows that are equally long the first comes first.
    order = sorted((at for at, length in enumerate(kept) if length), key=lambda at: -kept[at])
    sequences: list[list[int]] = []
    with_room: dict[int, deque[list[int]]] = {}
    rooms: list[int] = []  # those that some sequence has, in order
    for at in order:
        best = bisect_left(rooms, kept[at])
        if best < len(rooms):
            room = rooms[best]
            sequence = with_room[room].popleft()
            if not with_room[room]:
                rooms.pop(best)
        else:
            room, sequence = max_length, []
            sequences.append(sequence)
        sequence.append(at)
        left = room - kept[at]
        if left:
            waiting = with_room.setdefault(left, deque())
            if not waiting:
                insort(rooms, left)
            waiting.append(sequence)
    return sequences


def sequence_of(folder: Path, position: int, max_length: int) -> PackedSequence | None:
    """Return the sequence that holds a row; None while it is not counted, or if it has no tokens.

    Args:
        folder: of the tokens, with a column of lengths.
        position: of the row in the data set.

    Raises:
        OSError: the column has gone.
    """
    for block in _blocks(folder):
        if block[-1][0] < position:
            continue
        for sequence in pack([length for _, length in block], max_length):
            rows = [_packed(*block[at], max_length) for at in sequence]
            if any(row.position == position for row in rows):
                return PackedSequence(tuple(rows), max_length)
        break
    return None


def sequences_in_blocks(folder: Path, max_length: int) -> Iterator[int]:
    """Yield how many sequences hold each thousand rows, of those counted so far.

    Raises:
        OSError: the column of lengths has gone.
    """
    for block in _blocks(folder):
        yield len(pack([length for _, length in block], max_length))


def count_sequences(folder: Path, max_length: int) -> int:
    """Return how many sequences hold all rows counted so far.

    Raises:
        OSError: the column of lengths has gone.
    """
    return sum(sequences_in_blocks(folder, max_length))


def _packed(position: int, length: int, max_length: int) -> PackedRow:
    tokens = min(length, max_length)
    return PackedRow(position, tokens, length - tokens)


def _blocks(folder: Path) -> Iterator[list[tuple[int, int]]]:
    """Yield position and length of rows with tokens, as many as are packed at a time."""
    block: list[tuple[int, int]] = []
    for position, length in enumerate(_lengths(folder)):
        if length:
            block.append((position, length))
        if len(block) == ROWS_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _lengths(folder: Path) -> Iterator[int]:
    with (folder / _COLUMN).open("rb") as file:
        while data := file.read(_WORDS_READ * _WORD):
            values = array("I")
            values.frombytes(data[: len(data) // _WORD * _WORD])
            yield from values
