"""A step as the allocator sees it: recorded once, then run again in orders of other lengths.

How much is reserved above what is allocated depends on the lengths of the batches that came before.
Running a training step on `meta` takes a second; what it asks of the allocator, thousands of
requests and releases, takes milliseconds. So a step is recorded at a few lengths, the sizes of the
requests are worked out for the lengths between, and whole orders of batches are run through the
model of the allocator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from tui_ft.memory.allocator import Block, CachingAllocator, OutOfMemoryError
from tui_ft.memory.question import EMPTY, EVALUATE

_REQUEST: Final = 0
_ALIGNED: Final = 16


class UnsteadyError(Exception):
    """A step cannot be run again from its record; the message is for people."""


@dataclass(slots=True)
class _Record:
    """What a step asked: the sizes of its requests, in order, and all that it did.

    Attributes:
        sizes: bytes of each request.
        done: requests, as None, and releases, as (step, number of the request in it).
        looped: requests before the optimizer's step.
    """

    sizes: list[int] = field(default_factory=list)
    done: list[tuple[int, int] | None] = field(default_factory=list)
    looped: int = 0


class Recorder(CachingAllocator):
    """An allocator that remembers what it is asked, step by step.

    Step 0 is what is there before the first one: weights, and a workspace.
    """

    def __init__(self) -> None:
        """Begin with step 0."""
        super().__init__()
        self._records = [_Record()]
        self._made_in: dict[Block, tuple[int, int]] = {}

    def begin_step(self) -> None:
        """Let another step begin."""
        self._records.append(_Record())

    def begin_update(self) -> None:
        """Let the optimizer's step begin: what follows does not depend on the batch."""
        self._records[-1].looped = len(self._records[-1].sizes)

    def request(self, size: int) -> Block:
        """Return a block, and remember it."""
        block = super().request(size)
        record = self._records[-1]
        self._made_in[block] = len(self._records) - 1, len(record.sizes)
        record.sizes.append(size)
        record.done.append(None)
        return block

    def release(self, block: Block) -> None:
        """Give a block back, and remember that."""
        self._records[-1].done.append(self._made_in.pop(block))
        super().release(block)

    def steps_alike(self, one: int, other: int) -> bool:
        """Tell whether two steps asked as often, so that they may differ in sizes only."""
        first, second = self._records[one], self._records[other]
        return len(first.done) == len(second.done) and len(first.sizes) == len(second.sizes)

    def traces(self, last: int) -> list[Trace]:
        """Return step 0 and those that followed.

        Args:
            last: the number of the last training step, whose next one is not recorded: all that it
                still holds would be given back there.

        Raises:
            UnsteadyError: a step gave back what is older than the step before it.
        """
        handed: list[list[int]] = [[] for _ in self._records]
        for number, record in enumerate(self._records):
            for made in record.done:
                if made is None or made[0] == number:
                    continue
                if made[0] != number - 1:
                    raise UnsteadyError("a step lets go of what is older than the last step")
                handed[made[0]].append(made[1])
        handed[last] = [made[1] for made in self._made_in.values() if made[0] == last]
        handed = [sorted(one) for one in handed]
        return [self._trace(number, handed) for number in range(len(self._records))]

    def _trace(self, number: int, handed: list[list[int]]) -> Trace:
        before = {made: rank for rank, made in enumerate(handed[number - 1])} if number else {}
        events = []
        record = self._records[number]
        for made in record.done:
            if made is None:
                events.append(_REQUEST)
            elif made[0] == number:
                events.append(made[1] + 1)
            else:
                events.append(-before[made[1]] - 1)
        return Trace(record.sizes, events, handed[number], record.looped)


@dataclass(frozen=True, slots=True)
class Trace:
    """What a step asks of the allocator.

    Attributes:
        sizes: bytes of each request, in order.
        events: 0 is the next request; n > 0 gives back this step's request n - 1; n < 0 what the
            step before handed over as its number -n - 1.
        handed: requests that the step after gives back.
        looped: requests before the optimizer's step.
    """

    sizes: list[int]
    events: list[int]
    handed: list[int]
    looped: int

    def alike(self, other: Trace) -> bool:
        """Tell whether only sizes differ."""
        return self.events == other.events and self.handed == other.handed


class Recording:
    """Steps of a run, recorded at some lengths."""

    def __init__(
        self, held: Trace, first: Trace, steady: Mapping[int, Trace], evaluation: Trace
    ) -> None:
        """Take what was recorded.

        Args:
            held: what is there before the first step.
            first: the step that makes the optimizer's states, at the length that comes first below.
            steady: a step after that, by its length in tokens.
            evaluation: what comes between steps; empty where nothing does.

        Raises:
            UnsteadyError: the first step asks for more than later ones, beside its states.
        """
        self._held, self._first, self._evaluation = held, first, evaluation
        self._recorded = dict(steady)
        self._known = dict(steady)
        own, looped = next(iter(steady.values())), first.looped
        if looped != own.looped or first.sizes[:looped] != own.sizes[:looped]:
            raise UnsteadyError("the first step is unlike the second in more than its states")

    def at(self, length: int) -> Trace:
        """Return a steady step of a length.

        Between two recorded lengths that differ in nothing but sizes, those are worked out; of
        others the longer one is taken.
        """
        known = self._known.get(length)
        if known is not None:
            return known
        found = self._worked_out(length)
        self._known[length] = found
        return found

    def _worked_out(self, length: int) -> Trace:
        above = [one for one in self._recorded if one > length]
        below = [one for one in self._recorded if one < length]
        pairs = [(b - a, a, b) for a in below for b in above if self._are_alike(a, b)]
        if not pairs:
            return self._recorded[min(above, default=max(self._recorded))]
        _, near, far = min(pairs)
        others = [one for one in self._recorded if one not in (near, far)]
        third = next((one for one in others if self._are_alike(one, near)), None)
        points = (near, far) if third is None else (near, far, third)
        long = self._recorded[far]
        known = zip(*(self._recorded[point].sizes for point in points), strict=True)
        sizes = [_size_at(length, points, found) for found in known]
        return Trace(sizes, long.events, long.handed, long.looped)

    def _are_alike(self, one: int, other: int) -> bool:
        return self._recorded[one].alike(self._recorded[other])

    def peak_reserved(
        self,
        order: Sequence[int],
        *,
        capacity: int | None = None,
        expandable_segments: bool = False,
    ) -> int:
        """Return the most that is reserved while batches of these lengths follow each other.

        Args:
            order: lengths in tokens, the first making the states; `EMPTY` and `EVALUATE` between.
            capacity: bytes that there are; without it, as much as is asked for.
            expandable_segments: the allocator's setting of that name.

        Raises:
            OutOfMemoryError: it does not fit the capacity.
        """
        allocator = CachingAllocator(capacity=capacity, expandable_segments=expandable_segments)
        handed = _run(allocator, self._held, [])
        made_states = False
        for length in order:
            if length == EMPTY:
                allocator.empty_cache()
            elif length == EVALUATE:
                _run(allocator, self._evaluation, [])
            elif made_states:
                handed = _run(allocator, self.at(length), handed)
            else:
                made_states = True
                handed = _run(allocator, self._first_at(length), handed)
        return allocator.peak_reserved

    def least_memory(
        self, order: Sequence[int], enough: int, *, expandable_segments: bool = False
    ) -> int:
        """Return the least memory, in bytes and to a percent, that an order runs in.

        Where there is no more room the allocator gives back what it has cached, and tries again.

        Args:
            order: as above.
            enough: what it reserves where there is room.
            expandable_segments: the allocator's setting of that name.
        """
        too_little, step = 0, max(1, enough // 100)
        while enough - too_little > step:
            # Most orders run in a tenth less; less than half is asked of none.
            middle = enough - max(step, min(enough // 10, (enough - too_little) // 2))
            try:
                self.peak_reserved(order, capacity=middle, expandable_segments=expandable_segments)
            except OutOfMemoryError:
                too_little = middle
            else:
                enough = middle
        return enough

    def _first_at(self, length: int) -> Trace:
        first, looped = self._first, self._first.looped
        steady = self.at(length)
        if steady.looped != looped:
            return first
        sizes = [*steady.sizes[:looped], *first.sizes[looped:]]
        return Trace(sizes, first.events, first.handed, looped)


def _run(allocator: CachingAllocator, trace: Trace, before: list[Block]) -> list[Block]:
    """Run a step through an allocator; return what it hands over."""
    own: list[Block] = []
    request, release = allocator.request, allocator.release
    sizes = iter(trace.sizes)
    for event in trace.events:
        if event == _REQUEST:
            own.append(request(next(sizes)))
        elif event > 0:
            release(own[event - 1])
        else:
            release(before[-event - 1])
    return [own[number] for number in trace.handed]


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


_FORMS: Final[tuple[Callable[[int], int], ...]] = (
    lambda length: length,
    lambda length: length * length,
    lambda length: length * _up(length, _ALIGNED),
    lambda length: _up(length, 32),
    lambda length: _up(length, 128),
)
"""How sizes grow with the length: tokens, a mask's pairs, a mask aligned for the efficient kernel,
attention's statistics and accumulators."""


def _size_at(length: int, points: Sequence[int], sizes: Sequence[int]) -> int:
    """Return a size at a length, from those at two or three others.

    One of the forms, where it holds at all of them; else the polynomial through them (Lagrange).
    """
    first, last = sizes[0], sizes[1]
    if len(set(sizes)) == 1:
        return first
    for form in _FORMS:
        whole = form(points[1])
        if all(size * whole == last * form(at) for at, size in zip(points, sizes, strict=True)):
            return last * form(length) // whole
    total = Fraction(0)
    for at, size in zip(points, sizes, strict=True):
        share = Fraction(size)
        for other in points:
            share *= Fraction(length - other, at - other) if other != at else 1
        total += share
    return max(1, round(total))
