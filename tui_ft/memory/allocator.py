"""A model of CUDA's caching allocator: what a run *reserves* for the tensors that it holds.

`nvidia-smi` and an out-of-memory error speak of reserved memory. It is more than the tensors: sizes
are rounded, memory is taken from the driver in segments, and a segment with one small tensor left
in it cannot be given back. Follows c10/cuda/CUDACachingAllocator.cpp of torch 2.13 with its default
settings, for one stream.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

_BLOCK: Final = 512  # kMinBlockSize: every size is a multiple of it
_SMALL: Final = MIB  # kSmallSize: up to here a tensor lives in the small pool
_SMALL_SEGMENT: Final = 2 * MIB  # kSmallBuffer
_LARGE_SEGMENT: Final = 20 * MIB  # kLargeBuffer, for requests below kMinLargeAlloc
_OWN_SEGMENT: Final = 10 * MIB  # kMinLargeAlloc: from here a request gets a segment of its own
_SEGMENT_STEP: Final = 2 * MIB  # kRoundLarge


def rounded(size: int) -> int:
    """Return the bytes that a tensor of ``size`` bytes takes inside its segment."""
    return -(-size // _BLOCK) * _BLOCK or _BLOCK


class OutOfMemoryError(Exception):
    """A request did not fit, also after everything cached was given back to the driver."""


@dataclass(slots=True, eq=False)
class Block:
    """A piece of a segment, in use or free; neighbours in the same segment are linked."""

    number: int
    size: int
    small: bool
    asked: int = 0
    before: Block | None = None
    after: Block | None = None
    free: bool = False


_Pool = list[tuple[int, int, Block]]


class CachingAllocator:
    """Requests and releases of memory, in bytes, as torch's allocator would serve them.

    Attributes:
        requested: bytes asked for and in use now.
        allocated: bytes of the blocks in use now: rounded, with rests too small to split off.
        reserved: bytes taken from the driver now.
        peak_requested: the most that was asked for and in use since `start_measuring`.
        peak_allocated: the most that the blocks in use took since then.
        peak_reserved: the most that was reserved since then.
        retries: how often everything cached had to be given back to make room.
    """

    def __init__(self, *, capacity: int | None = None, expandable_segments: bool = False) -> None:
        """Begin with nothing reserved.

        Args:
            capacity: bytes that the driver can give; without it, as much as is asked for.
            expandable_segments: as with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True. Segments
                then grow by pages of 2 MiB, so that large requests fragment nothing.
        """
        self._capacity = capacity
        self._expandable = expandable_segments
        self._pools: dict[bool, _Pool] = {True: [], False: []}
        self._made = 0
        self.requested = self.allocated = self.reserved = 0
        self.peak_requested = self.peak_allocated = self.peak_reserved = 0
        self.retries = 0

    def start_measuring(self) -> None:
        """Forget the peaks so far, as `torch.cuda.reset_peak_memory_stats` does."""
        self.peak_requested = self.requested
        self.peak_allocated = self.allocated
        self.peak_reserved = self.reserved

    def request(self, size: int) -> Block:
        """Return a block for ``size`` bytes.

        Raises:
            OutOfMemoryError: it does not fit below the capacity.
        """
        wanted = rounded(size)
        small = wanted <= _SMALL
        pool = self._pools[small]
        place = bisect_left(pool, (wanted, -1))
        block = pool.pop(place)[2] if place < len(pool) else self._new_segment(wanted, small)
        block.free = False
        rest = block.size - wanted
        if rest > _SMALL or (small and rest >= _BLOCK):
            self._split(block, wanted, rest)
        block.asked = size
        self.requested = requested = self.requested + size
        self.allocated = allocated = self.allocated + block.size
        if requested > self.peak_requested:  # noqa: PLR1730 - runs a million times: max is slower
            self.peak_requested = requested
        if allocated > self.peak_allocated:  # noqa: PLR1730
            self.peak_allocated = allocated
        return block

    def release(self, block: Block) -> None:
        """Give a block back to its pool, joined with free neighbours."""
        self.requested -= block.asked
        self.allocated -= block.size
        block.free = True
        pool = self._pools[block.small]
        after, before = block.after, block.before
        if after is not None and after.free:
            del pool[bisect_left(pool, (after.size, after.number))]
            _absorb(block, after)
        if before is not None and before.free:
            del pool[bisect_left(pool, (before.size, before.number))]
            _absorb(before, block)
            block = before
        insort(pool, (block.size, block.number, block))

    def empty_cache(self) -> None:
        """Give segments with nothing in them back to the driver."""
        for small, pool in self._pools.items():
            kept: _Pool = []
            for entry in pool:
                block = entry[2]
                if block.before is None and block.after is None:
                    self.reserved -= block.size
                else:
                    kept.append(entry)
            self._pools[small] = kept

    def _new_segment(self, wanted: int, small: bool) -> Block:
        size = self._segment_size(wanted, small)
        if self._capacity is not None and self.reserved + size > self._capacity:
            self.empty_cache()
            self.retries += 1
            if self.reserved + size > self._capacity:
                raise OutOfMemoryError
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        self._made += 1
        return Block(self._made, size, small)

    def _segment_size(self, wanted: int, small: bool) -> int:
        if small:
            return _SMALL_SEGMENT
        if wanted < _OWN_SEGMENT and not self._expandable:
            return _LARGE_SEGMENT
        return -(-wanted // _SEGMENT_STEP) * _SEGMENT_STEP

    def _split(self, block: Block, wanted: int, rest: int) -> None:
        """Keep ``wanted`` bytes of a block, and put the rest, which is worth it, into its pool."""
        self._made += 1
        remainder = Block(self._made, rest, block.small, 0, block, block.after, True)
        if block.after is not None:
            block.after.before = remainder
        block.after = remainder
        block.size = wanted
        insort(self._pools[block.small], (rest, remainder.number, remainder))


def _absorb(block: Block, after: Block) -> None:
    """Make a block's neighbour a part of it."""
    block.size += after.size
    block.after = further = after.after
    if further is not None:
        further.before = block
