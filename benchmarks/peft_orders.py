"""In which order the batches of peft's own benchmark follow each other, as far as is published.

method_comparison/MetaMathQA/run.py of huggingface/peft: 5,000 steps of 4 rows, which are taken as
they come; each 80 of them are sorted from long to short. After every 10th step the allocator's
cache is emptied, after every 250th answers to 50 questions are generated before that. All runs see
the same rows. Their lengths are not published, but what follows from them is: 209.9 tokens a row
with its end, and by a run's reserved memory, on average and at most, how long the longest row of 80
is on average, and the longest of all. So lengths are drawn from a log-normal distribution that is
cut off at the longest, with that mean and that spread.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tui_ft.memory.question import EMPTY, EVALUATE

ROWS: Final = 4
BUCKET: Final = 20
STEPS: Final = 5000
MEAN: Final = 208.9
"""Tokens of a row: 4,198,051 in 20,000 rows, of which each was counted with one more."""
_EMPTIES: Final = 10
_EVALUATES: Final = 250
_SHORTEST: Final = 40
_NEAR: Final = 0.94
_HOT: Final = 3
_BEFORE: Final = 4


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution of tokens a row.

    Attributes:
        longest: where it is cut off; one row of each run is as long.
        spread: of the logarithm.
    """

    longest: int
    spread: float

    def drawn(self, seed: int) -> list[list[int]]:
        """Return the tokens of each batch's longest row, bucket by bucket, long to short."""
        source = random.Random(seed)
        middle = math.log(MEAN) - self.spread**2 / 2
        rows: list[int] = []
        while len(rows) < ROWS * STEPS:
            length = round(source.lognormvariate(middle, self.spread))
            if _SHORTEST <= length <= self.longest:
                rows.append(length)
        rows[max(range(len(rows)), key=rows.__getitem__)] = self.longest
        size = ROWS * BUCKET
        buckets = (rows[start : start + size] for start in range(0, len(rows), size))
        return [sorted(bucket, reverse=True)[::ROWS] for bucket in buckets]


def order(lengths: Lengths, seed: int) -> tuple[int, ...]:
    """Return the steps of a run that may reach its peak, each with what comes before it.

    These are the first bucket, where the optimizer's states are made, those that begin with a batch
    nearly as long as the longest, and those after which answers are generated while the cache is
    full. Of what comes before a bucket the last batches are kept.
    """
    buckets = lengths.drawn(seed)
    evaluated = {
        step // BUCKET for step in range(_EVALUATES, STEPS, _EVALUATES) if step % BUCKET == _EMPTIES
    }
    near = [n for n, one in enumerate(buckets) if one[0] >= _NEAR * lengths.longest]
    hot = {*_longest(buckets, near, _HOT), *_longest(buckets, sorted(evaluated), 2)}
    found = [*buckets[0][:_EMPTIES], EMPTY]
    for number in sorted(hot - {0}):
        found += [*buckets[number - 1][-_BEFORE:], EMPTY, *buckets[number][:_EMPTIES]]
        found += [EVALUATE, EMPTY] if number in evaluated else [EMPTY]
    return tuple(found)


def _longest(buckets: Sequence[Sequence[int]], among: Sequence[int], count: int) -> list[int]:
    return sorted(among, key=lambda number: -buckets[number][0])[:count]
