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
    return max(_BLOCK, -(-size // _BLOCK) * _BLOCK)


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
        block = self._best_fit(wanted, small) or self._new_segment(wanted, small)
        block.free = False
        self._split(block, wanted)
        block.asked = size
        self.requested += size
        self.allocated += block.size
        self.peak_requested = max(self.peak_requested, self.requested)
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def release(self, block: Block) -> None:
        """Give a block back to its pool, joined with free neighbours."""
        self.requested -= block.asked
        self.allocated -= block.size
        block.free = True
        if block.after is not None and block.after.free:
            self._join(block, block.after)
        if block.before is not None and block.before.free:
            before = block.before
            self._pool_remove(before)
            self._absorb(before, block)
            block = before
        insort(self._pools[block.small], (block.size, block.number, block))

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

    def _best_fit(self, wanted: int, small: bool) -> Block | None:
        pool = self._pools[small]
        place = bisect_left(pool, (wanted, -1))
        return pool.pop(place)[2] if place < len(pool) else None

    def _new_segment(self, wanted: int, small: bool) -> Block:
        size = self._segment_size(wanted, small)
        if self._capacity is not None and self.reserved + size > self._capacity:
            self.empty_cache()
            self.retries += 1
            if self.reserved + size > self._capacity:
                raise OutOfMemoryError
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return self._new_block(size, small)

    def _segment_size(self, wanted: int, small: bool) -> int:
        if small:
            return _SMALL_SEGMENT
        if wanted < _OWN_SEGMENT and not self._expandable:
            return _LARGE_SEGMENT
        return -(-wanted // _SEGMENT_STEP) * _SEGMENT_STEP

    def _new_block(self, size: int, small: bool) -> Block:
        self._made += 1
        return Block(self._made, size, small)

    def _split(self, block: Block, wanted: int) -> None:
        """Keep ``wanted`` bytes of a block and give back the rest, where the rest is worth it."""
        rest = block.size - wanted
        if rest < _BLOCK if block.small else rest <= _SMALL:
            return
        remainder = self._new_block(rest, block.small)
        remainder.free = True
        remainder.before, remainder.after = block, block.after
        if block.after is not None:
            block.after.before = remainder
        block.after = remainder
        block.size = wanted
        insort(self._pools[block.small], (rest, remainder.number, remainder))

    def _join(self, block: Block, after: Block) -> None:
        self._pool_remove(after)
        self._absorb(block, after)

    def _absorb(self, block: Block, after: Block) -> None:
        block.size += after.size
        block.after = after.after
        if after.after is not None:
            after.after.before = block

    def _pool_remove(self, block: Block) -> None:
        pool = self._pools[block.small]
        del pool[bisect_left(pool, (block.size, block.number))]
