"""Steps that are recorded once and run again: at other lengths, in other orders."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tui_ft.memory.allocator import MIB, Block, CachingAllocator
from tui_ft.memory.orders import ORDERS, STEPS, orders_of
from tui_ft.memory.question import EMPTY
from tui_ft.memory.step import Step
from tui_ft.memory.traces import Recorder, Recording, UnsteadyError

_WEIGHTS = 30 * MIB


def _step(allocator: CachingAllocator, length: int, before: Iterable[Block]) -> list[Block]:
    """Take a batch, let go of the last step's outputs, and hand over outputs of its own."""
    batch = allocator.request(8 * length)
    inner = allocator.request(length * length)
    outputs = [allocator.request(100_000 * length), allocator.request(4)]
    for block in (*before, batch):
        allocator.release(block)
    allocator.release(inner)
    return outputs


def _recorded(lengths: tuple[int, ...]) -> Recording:
    recorder = Recorder()
    recorder.request(_WEIGHTS)
    outputs: list[Block] = []
    for number, length in enumerate((lengths[0], *lengths)):
        recorder.begin_step()
        outputs = _step(recorder, length, outputs)
        recorder.begin_update()
        if number == 0:
            recorder.request(2 * _WEIGHTS)  # states, which stay
    recorder.begin_step()
    held, first, *steady, evaluation = recorder.traces(len(lengths) + 1)
    return Recording(held, first, dict(zip(lengths, steady, strict=True)), evaluation)


def _directly(order: Iterable[int]) -> int:
    allocator = CachingAllocator()
    allocator.request(_WEIGHTS)
    outputs: list[Block] = []
    states = None
    for length in order:
        if length == EMPTY:
            allocator.empty_cache()
            continue
        outputs = _step(allocator, length, outputs)
        states = states or allocator.request(2 * _WEIGHTS)
    return allocator.peak_reserved


@pytest.mark.parametrize(
    "order", [(600, 600), (100, 600, 300), (333, 100, EMPTY, 587, 211, 600), (101, 99, 598)]
)
def test_an_order_reserves_what_it_would_if_it_were_run(order: tuple[int, ...]) -> None:
    assert _recorded((600, 350, 90)).peak_reserved(order) == _directly(order)


def test_sizes_that_follow_no_form_lie_on_the_curve_through_the_recorded_ones() -> None:
    recording = _recorded((600, 350, 90))
    steady = recording.at(200)
    assert steady.sizes[:3] == [8 * 200, 200 * 200, 100_000 * 200]


def test_lengths_unlike_each_other_are_taken_for_the_longer_one() -> None:
    recorder = Recorder()
    recorder.request(_WEIGHTS)
    for length in (64, 64, 20):
        recorder.begin_step()
        for _ in range(1 if length == 64 else 2):
            recorder.release(recorder.request(length * MIB))
        recorder.begin_update()
    recorder.begin_step()
    held, first, *steady, evaluation = recorder.traces(3)
    recording = Recording(held, first, dict(zip((64, 20), steady, strict=True)), evaluation)
    assert recording.at(40).sizes == [64 * MIB]
    assert recording.at(20).sizes == [20 * MIB] * 2


def test_the_least_memory_is_below_what_is_reserved_where_there_is_room() -> None:
    recording = _recorded((600, 350, 90))
    order = (100, 300, 150, 600, 200, 450, 120)
    peak = recording.peak_reserved(order)
    least = recording.least_memory(order, peak)
    needed = 3 * _WEIGHTS + (600 + 200) * 100_000
    assert needed < least < peak
    assert recording.peak_reserved(order, capacity=least) <= least


def test_a_step_that_lets_go_of_what_is_old_cannot_be_run_again() -> None:
    recorder = Recorder()
    recorder.begin_step()
    old = recorder.request(MIB)
    recorder.begin_step()
    recorder.begin_step()
    recorder.release(old)
    with pytest.raises(UnsteadyError, match="older than the last step"):
        recorder.traces(3)


def test_a_first_step_of_its_own_kind_cannot_be_run_again() -> None:
    recorder = Recorder()
    for sizes in ((1, 2), (1,)):
        recorder.begin_step()
        for size in sizes:
            recorder.release(recorder.request(size * MIB))
        recorder.begin_update()
    recorder.begin_step()
    held, first, steady, evaluation = recorder.traces(2)
    with pytest.raises(UnsteadyError, match="more than its states"):
        Recording(held, first, {1: steady}, evaluation)


def test_orders_are_drawn_from_the_rows_and_hold_the_longest_batch_once_at_least() -> None:
    step = Step(config={}, batch=4, length=512, padded=True)
    lengths = (40, 100, 200, 300, 5000)
    orders = orders_of(step, lengths)
    assert orders == orders_of(step, lengths)
    assert len(orders) == ORDERS
    for order in orders:
        assert len(order) == STEPS
        assert 512 in order[1:]
        assert set(order) <= {100, 200, 300, 512, 40}


@pytest.mark.parametrize(("padded", "lengths"), [(False, (10, 20)), (True, (30, 30)), (True, ())])
def test_there_is_nothing_to_draw_of_packed_rows_or_of_one_length(
    padded: bool, lengths: tuple[int, ...]
) -> None:
    assert orders_of(Step(config={}, batch=2, length=64, padded=padded), lengths) == ()
