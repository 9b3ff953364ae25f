"""What a data set is as tokens of one model, and what that means at any `max_length`.

Only how often each length occurs is kept, so that every figure can be had again for another
`max_length` or batch without reading the rows again.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from tui_ft.data.counts import Counts, total_of

NEVER: Final = 0xFFFFFFFF
"""Where a row has no learned token, or never ends a turn."""

_COVERED: Final = 0.99
_SHORTEST: Final = 128
_CHOICES: Final = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


class Refused(msgspec.Struct, frozen=True):
    """Rows that could not be made tokens, for one reason."""

    reason: str
    count: int
    examples: tuple[int, ...]


class TokenSummary(msgspec.Struct, frozen=True):
    """Rows as tokens, before anything is cut.

    Attributes:
        stage: whether more will come.
        rows: rows counted, of `rows_total`.
        lengths: tokens in whole rows; of a pair, in its longer side.
        prompts: tokens before the first learned one.
        answers: tokens that carry loss.
        first_learned: position of the first token that carries loss; `NEVER` for none.
        first_end: tokens up to and with the first end of turn that is learned; `NEVER` for none.
        double_bos: rows that begin with two begin-of-text tokens, and the first few.
        unlike_inference: rows whose answers stand otherwise than at inference.
    """

    model: str
    stage: Literal["counting", "done", "failed"]
    problem: str | None = None
    rows: int = 0
    rows_total: int = 0
    lengths: dict[int, int] = {}
    prompts: dict[int, int] = {}
    answers: dict[int, int] = {}
    first_learned: dict[int, int] = {}
    first_end: dict[int, int] = {}
    double_bos: int = 0
    double_bos_examples: tuple[int, ...] = ()
    unlike_inference: int = 0
    straddling: int = 0
    refused: tuple[Refused, ...] = ()
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return total_of(self.lengths)

    @property
    def supervised_share(self) -> float:
        """The share of tokens that carry loss, before anything is cut."""
        return total_of(self.answers) / self.tokens if self.tokens else 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.stage != "counting"

    def at(self, max_length: int) -> Cut:
        """Return what cutting every row to ``max_length`` tokens does."""
        cut_rows = sum(rows for length, rows in self.lengths.items() if length > max_length)
        lost = sum(
            (length - max_length) * rows
            for length, rows in self.lengths.items()
            if length > max_length
        )
        return Cut(
            max_length=max_length,
            rows=self.rows,
            rows_cut=cut_rows,
            tokens_lost=lost,
            tokens=self.tokens,
            unlearned=sum(n for at, n in self.first_learned.items() if at >= max_length),
            unended=sum(n for at, n in self.first_end.items() if at > max_length),
        )

    def recommended_max_length(self, context: int | None = None) -> int:
        """Return the smallest usual length that cuts at most 1 % of rows, and 1 % of tokens.

        Rounded up to the longest row, in steps of 64, where that is less.

        Args:
            context: the most that the model can take.
        """
        if not self.lengths:
            return 1024
        longest = max(self.lengths)
        for choice in _CHOICES:
            cut = self.at(choice)
            if cut.rows_share <= 1 - _COVERED and cut.tokens_share <= 1 - _COVERED:
                break
        tight = max(_SHORTEST, math.ceil(longest / 64) * 64)
        best = min(choice, tight)
        return min(best, context) if context else best


@dataclass(frozen=True, slots=True)
class Cut:
    """What a `max_length` does to a data set.

    Attributes:
        rows_cut: rows that lose tokens.
        tokens_lost: tokens cut off.
        unlearned: rows in which no token is left that carries loss.
        unended: rows in which no end of turn is left to be learned.
    """

    max_length: int
    rows: int
    rows_cut: int
    tokens_lost: int
    tokens: int
    unlearned: int
    unended: int

    @property
    def rows_share(self) -> float:
        """The share of rows that lose tokens."""
        return self.rows_cut / self.rows if self.rows else 0.0

    @property
    def tokens_share(self) -> float:
        """The share of tokens lost."""
        return self.tokens_lost / self.tokens if self.tokens else 0.0


def packed_sequences(lengths: Counts, max_length: int) -> int:
    """Return how many sequences of ``max_length`` hold all rows, cut to it and joined.

    Best fit decreasing, as trl's `packing_strategy="bfd"` does: the longest row first, each into
    the sequence that it fills best.
    """
    cut: dict[int, int] = {}
    for length, rows in lengths.items():
        kept = min(length, max_length)
        cut[kept] = cut.get(kept, 0) + rows
    room: dict[int, int] = {}
    free: list[int] = []
    sequences = 0
    for length in sorted(cut, reverse=True):
        left = cut[length]
        while left and length:
            at = bisect_left(free, length)
            if at == len(free):
                break
            gap = free[at]
            fitting = min(left, room[gap])
            room[gap] -= fitting
            if not room[gap]:
                free.pop(at)
            _add_room(room, free, gap - length, fitting)
            left -= fitting
        if left and length:
            each = max_length // length
            new = math.ceil(left / each)
            sequences += new
            _add_room(room, free, max_length - each * length, left // each)
            if left % each:
                _add_room(room, free, max_length - (left % each) * length, 1)
    return sequences


def _add_room(room: dict[int, int], free: list[int], gap: int, sequences: int) -> None:
    if not gap or not sequences:
        return
    if not room.get(gap):
        insort(free, gap)
    room[gap] = room.get(gap, 0) + sequences


def steps_per_epoch(rows: int, batch: int) -> int:
    """Return optimizer steps for one pass over ``rows`` sequences with ``batch`` in each step."""
    return math.ceil(rows / max(1, batch))
