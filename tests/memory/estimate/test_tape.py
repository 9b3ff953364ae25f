"""What a tape counts: what is alive, what is kept, and what gradients take."""

from __future__ import annotations

from tui_ft.memory.estimate import ops
from tui_ft.memory.estimate.ops import Matrix
from tui_ft.memory.estimate.tape import Leaf, Storage, Tape, Tensor, block_of

MIB = 1 << 20


def test_a_tensor_counts_as_long_as_something_holds_it() -> None:
    tape = Tape()
    x = tape.new(1 << 20, 2)
    assert tape.live == 2 * MIB
    y = ops.scaled(tape, x)
    assert tape.live == 4 * MIB
    del x
    assert tape.live == 2 * MIB
    del y
    assert tape.live == 0
    assert tape.peak == 4 * MIB


def test_a_product_keeps_its_input_only_where_the_weight_is_trained() -> None:
    for source, kept in ((None, 0), (Leaf(weight=True), 2 * MIB)):
        tape = Tape()
        x = tape.input(1 << 20, 2, learns=True)
        out = ops.linear(tape, x, Matrix(1024, 512, 2, source))
        own = out.size
        del x
        assert tape.live == own + kept


def test_autocast_casts_a_trained_weight_once_and_a_frozen_one_each_time() -> None:
    tape = Tape(low=2)
    x = tape.input(1024, 2, learns=True)
    trained, frozen = Matrix(1024, 1024, 4, Leaf(weight=True)), Matrix(1024, 1024, 4)
    before = tape.live
    first, second = ops.linear(tape, x, trained), ops.linear(tape, x, trained)
    assert tape.live - before - first.size - second.size == 2 * MIB
    third, fourth = ops.linear(tape, x, frozen), ops.linear(tape, x, frozen)
    outputs = sum(one.size for one in (first, second, third, fourth))
    assert tape.live - before - outputs == 6 * MIB


def test_going_back_lets_go_of_what_was_kept_and_leaves_gradients() -> None:
    tape = Tape()
    x = tape.input(1 << 20, 2, learns=False)
    weight = Leaf(weight=True)
    hidden = ops.activation(tape, ops.linear(tape, x, Matrix(1024, 1024, 2, weight)))
    source, size = hidden.source, hidden.size
    del hidden, x
    assert tape.live == 4 * MIB  # the input for the weight, the product for the activation
    assert source is not None
    source.take(Storage(tape, size))
    del source
    tape.backward()
    assert tape.live == 2 * MIB
    assert weight.gradient is tape.gradients[0]


def test_without_gradients_nothing_is_kept() -> None:
    tape = Tape(learns=False)
    x = tape.new(1 << 20, 2)
    out = ops.rms_norm(tape, x, 1024, Matrix(1, 1024, 2, Leaf(weight=True)))
    del x
    assert tape.live == out.size
    assert tape.peak >= 4 * out.size


def test_a_second_gradient_is_added_in_place_unless_the_first_is_in_use() -> None:
    tape = Tape()
    x = tape.input(1 << 20, 2, learns=True)
    left = ops.add(tape, x, Tensor(1 << 20, 2, None))
    out = ops.add(tape, left, ops.scaled(tape, left))
    source, leaf = out.source, x.source
    assert source is not None
    del left, out, x
    source.take(Storage(tape, 2 * MIB))
    del source
    tape.peak = tape.live
    tape.backward()
    assert tape.peak == 4 * MIB  # the incoming gradient and that of the branch: no third one
    assert isinstance(leaf, Leaf)
    assert tape.live == 2 * MIB


def test_blocks_take_rests_that_are_too_small_to_split_off() -> None:
    assert block_of(1) == 512
    assert block_of(11 * MIB) == 12 * MIB
    assert block_of(20 * MIB) == 20 * MIB
    assert block_of(int(8.3125 * MIB)) == int(8.3125 * MIB)  # a rest of more than 1 MiB
    assert block_of(int(9.75 * MIB)) == 10 * MIB
