"""The model of CUDA's caching allocator does as c10/cuda/CUDACachingAllocator.cpp says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.memory.allocator import KIB, MIB, CachingAllocator, OutOfMemoryError, rounded


@pytest.mark.parametrize(
    ("asked", "taken"), [(1, 512), (512, 512), (513, 1024), (MIB, MIB), (MIB + 1, MIB + 512)]
)
def test_sizes_are_rounded_to_512_bytes(asked: int, taken: int) -> None:
    assert rounded(asked) == taken


@pytest.mark.parametrize(
    ("asked", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
        (101 * MIB, 102 * MIB),
    ],
)
def test_a_first_request_reserves_a_segment_by_its_size(asked: int, reserved: int) -> None:
    allocator = CachingAllocator()
    allocator.request(asked)
    assert allocator.reserved == reserved


def test_small_tensors_share_a_segment_and_large_ones_do_not_use_it() -> None:
    allocator = CachingAllocator()
    for _ in range(4):
        allocator.request(512 * KIB)
    assert allocator.reserved == 2 * MIB
    allocator.request(512 * KIB)
    assert allocator.reserved == 4 * MIB
    allocator.request(2 * MIB)
    assert allocator.reserved == 24 * MIB


def test_a_rest_of_up_to_one_mebibyte_stays_with_a_large_block() -> None:
    allocator = CachingAllocator()
    block = allocator.request(11 * MIB + 512 * KIB)  # out of a segment of 12 MiB
    assert allocator.allocated == block.size == 12 * MIB
    assert allocator.requested == 11 * MIB + 512 * KIB


def test_the_smallest_free_block_that_fits_is_taken() -> None:
    allocator = CachingAllocator()
    big, middle = allocator.request(40 * MIB), allocator.request(20 * MIB)
    allocator.release(big)
    allocator.release(middle)
    assert allocator.request(19 * MIB + 1) is middle
    assert allocator.reserved == 60 * MIB


def test_neighbours_are_joined_so_that_the_whole_segment_can_be_used_again() -> None:
    allocator = CachingAllocator()
    whole = allocator.request(100 * MIB)
    allocator.release(whole)
    pieces = [allocator.request(25 * MIB) for _ in range(4)]
    for piece in (pieces[1], pieces[3], pieces[0], pieces[2]):
        allocator.release(piece)
    allocator.request(100 * MIB)
    assert allocator.reserved == 100 * MIB


def test_fragments_make_it_reserve_more_than_is_allocated() -> None:
    allocator = CachingAllocator()
    allocator.release(allocator.request(100 * MIB))
    kept = [allocator.request(20 * MIB) for _ in range(5)]
    allocator.release(kept[1])
    allocator.release(kept[3])
    allocator.request(40 * MIB)
    assert allocator.allocated == 100 * MIB
    assert allocator.peak_reserved == 140 * MIB


def test_emptying_the_cache_gives_back_only_segments_with_nothing_in_them() -> None:
    allocator = CachingAllocator()
    alone, shared = allocator.request(50 * MIB), allocator.request(40 * MIB)
    allocator.release(alone)
    allocator.release(shared)
    allocator.request(30 * MIB)  # part of the segment of 40 MiB
    allocator.empty_cache()
    assert allocator.reserved == 40 * MIB


def test_what_is_cached_is_given_back_before_memory_is_said_to_be_out() -> None:
    allocator = CachingAllocator(capacity=100 * MIB)
    allocator.release(allocator.request(60 * MIB))
    allocator.request(80 * MIB)
    assert (allocator.reserved, allocator.retries) == (80 * MIB, 1)
    with pytest.raises(OutOfMemoryError):
        allocator.request(40 * MIB)


def test_expandable_segments_reserve_what_is_asked_for() -> None:
    allocator = CachingAllocator(expandable_segments=True)
    allocator.request(3 * MIB)
    assert allocator.reserved == 4 * MIB


def test_peaks_are_counted_from_where_measuring_starts() -> None:
    allocator = CachingAllocator()
    allocator.release(allocator.request(100 * MIB))
    allocator.empty_cache()
    allocator.start_measuring()
    allocator.request(10 * MIB)
    assert (allocator.peak_allocated, allocator.peak_reserved) == (10 * MIB, 10 * MIB)


@given(st.lists(st.integers(1, 64 * MIB), min_size=1, max_size=60), st.randoms())
def test_whatever_is_asked_for_and_given_back_the_books_balance(
    sizes: list[int], chance: random.Random
) -> None:
    allocator = CachingAllocator()
    live = []
    for size in sizes:
        live.append((size, allocator.request(size)))
        if chance.random() < 0.4:
            allocator.release(live.pop(chance.randrange(len(live)))[1])
        assert allocator.requested == sum(asked for asked, _ in live)
        assert allocator.allocated == sum(block.size for _, block in live)
        assert allocator.requested <= allocator.allocated <= allocator.reserved
        assert allocator.reserved <= allocator.peak_reserved
    for _, block in live:
        allocator.release(block)
    allocator.empty_cache()
    assert (allocator.requested, allocator.allocated, allocator.reserved) == (0, 0, 0)
