"""What one part of a model takes: while it runs, until its backward pass, and in that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui_ft.memory.estimate.tape import Storage, Tape, Tensor

Run = Callable[[Tape, Tensor], Tensor]
"""A part's forward pass: writes on a tape, and returns its output."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a part: all beside what was there before it, its input included.

    Attributes:
        forward: the most in its forward pass.
        during: what it leaves behind until the forward pass of the whole is over.
        holds: what it leaves behind until its backward pass.
        backward: the most in its backward pass, gradients of its weights included.
    """

    forward: int
    during: int
    holds: int
    backward: int


@dataclass(frozen=True, slots=True)
class Input:
    """What goes into a part: numbers, bytes of one, and whether it needs a gradient."""

    count: int
    width: int
    learns: bool


def forward_only(run: Run, x: Input, low: int | None) -> Part:
    """Measure a part under `torch.no_grad`, as a reference's."""
    tape = Tape(low=low, learns=False)
    given = tape.input(x.count, x.width, learns=False)
    before = tape.live
    out = run(tape, given)
    peak = tape.peak - before
    del given
    after = tape.live - before
    del out
    return Part(peak, after, 0, 0)


def measured(run: Run, x: Input, low: int | None) -> Part:
    """Measure a part that keeps what its backward pass reads."""
    tape = Tape(low=low)
    given = tape.input(x.count, x.width, learns=x.learns)
    before = tape.live
    out = run(tape, given)
    forward = tape.peak - before
    del given
    during = tape.live - before
    tape.forget_casts()
    holds = tape.live - before
    size, source = out.size, out.source
    del out
    if source is not None:
        source.take(Storage(tape, size))
    tape.peak = tape.live
    tape.backward()
    return Part(forward, during, holds, tape.peak - before)


def checkpointed(run: Run, x: Input, low: int | None) -> Part:
    """Measure a part of which only the input is kept, and all else made again.

    The recomputation ends with the last tensor that a derivative reads
    (torch/utils/checkpoint.py): so what is made after that is not counted.
    """
    tape = Tape(low=low, learns=False, checkpointed=True)
    given = tape.input(x.count, x.width, learns=False)
    before = tape.live
    out = run(tape, given)
    forward = tape.peak - before
    during = tape.live - before
    tape.forget_casts()
    holds = tape.live - before
    del out, given
    pinned = sum({id(one): one.size for one in tape.pinned or () if one is not None}.values())
    return Part(forward, during, holds, max(0, _again(run, x, low, before, pinned)))


def _again(run: Run, x: Input, low: int | None, before: int, pinned: int) -> int:
    """Return the most that recomputation and backward pass take beside the input."""
    tape = Tape(low=low, keeps_casts=False)
    given = tape.input(x.count, x.width, learns=True)
    seed = [Storage(tape, x.count * x.width)]
    out = run(tape, given)
    source = out.source
    del out
    if source is not None:
        source.take(seed.pop())
    tape.peak = max(tape.live, tape.needed)
    del source
    tape.backward()
    return tape.peak - before + pinned
