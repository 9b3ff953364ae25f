"""What a run takes of a GPU: a figure with a band, what it is made of, and when it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tui_ft.memory.allocator import MIB
from tui_ft.memory.replayed import Moment, Replayed

CONTEXT_LOW: Final = 300 * MIB
CONTEXT: Final = 450 * MIB
CONTEXT_HIGH: Final = 800 * MIB
"""What CUDA takes for itself in each process, outside torch's allocator: code of the kernels,
cuBLAS handles. It is seen between 0.3 and 0.6 GiB, by card and driver; on an H100 under CUDA 13
0.74 GiB in each of 30 runs (benchmarks/results)."""

UNSEEN: Final = 0.05
"""Fragmentation that the replay does not see. Of the 32 measured runs of peft's benchmark, all came
out below 5 % over the figure, whose orders are not known in full (benchmarks/results)."""
_NEARBY: Final = (0, 8, 24)


class Term(msgspec.Struct, frozen=True):
    """A part of a figure, in bytes."""

    name: str
    size: int


class Band(msgspec.Struct, frozen=True):
    """Low, expected and high, in bytes."""

    low: int
    expected: int
    high: int


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What a run takes of one GPU, in bytes, as `nvidia-smi` would show it.

    Attributes:
        low: tensors alone, were nothing lost between them.
        expected: what the allocator reserves, and CUDA's context.
        high: at a less fortunate order of lengths.
        terms: what `expected` is made of; they sum up to it.
        stage: of the step, in which most is taken.
        source: how it was found.
        timeline: of a step, when it was replayed.
        trainable_parameters: how many values are trained.
        parameters: how many values the model has.
        computed: the band before this machine's runs corrected it; None when nothing did.
        correction: what was done to it, in words.
        with_room: what orders of the data set's own lengths would reserve where there is room, the
            median of them; None where they were not drawn. The run does with what is expected, for
            the allocator gives back what it has cached before it gives up.
    """

    low: int
    expected: int
    high: int
    terms: tuple[Term, ...]
    stage: str
    source: Literal["dry run", "estimate", "probe"]
    timeline: tuple[Moment, ...] = ()
    trainable_parameters: int = 0
    parameters: int = 0
    computed: Band | None = None
    correction: str = ""
    with_room: int | None = None


def nearby_lengths(length: int) -> tuple[int, ...]:
    """Return the lengths whose replays make a band: how memory is cut up differs between them."""
    return tuple(dict.fromkeys(max(8, length - less) for less in _NEARBY))


def figure_of(replays: Sequence[Replayed]) -> Figure:
    """Return the figure of a step from its replays, that of its own length first.

    Where orders of batches were drawn from a data set's lengths, what is expected is the least
    memory that they run in, the median of them.

    Paged optimizer states count for the high figure alone: they are on the GPU where there is room,
    and leave it where there is none.
    """
    own = replays[0]
    needed = sorted(own.least) or [own.reserved]
    expected = needed[len(needed) // 2]
    most = needed[-1] if own.least else max(one.reserved for one in replays)
    lost = expected - own.allocated
    terms = [Term(name, size) for name, size in own.by_kind.items() if size > 0]
    return Figure(
        low=min(one.allocated for one in replays) + CONTEXT_LOW,
        expected=expected + CONTEXT,
        high=int(most * (1 + UNSEEN)) + own.paged + CONTEXT_HIGH,
        terms=(*terms, Term("fragmentation", lost), Term("CUDA context", CONTEXT)),
        stage=own.stage,
        source="dry run",
        timeline=own.timeline,
        trainable_parameters=own.trainable_parameters,
        parameters=own.parameters,
        with_room=sorted(own.orders)[len(own.orders) // 2] + CONTEXT if own.least else None,
    )
