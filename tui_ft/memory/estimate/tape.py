"""Sizes of the tensors of a step: what each operation makes, and what autograd keeps for it.

A layer is written down once as a function of sizes, line by line as transformers' module computes;
a tape counts what is alive, the most there was, and, going back, what gradients take. So saved
activations follow from operations, not from a rule of thumb: an operation keeps what its derivative
reads (torch, tools/autograd/derivatives.yaml), a tensor is gone with its last reference, and a
node's tensors are let go once it has run (torch/csrc/autograd/engine.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tui_ft.memory.allocator import CachingAllocator

FLOAT32: Final = 4

# The allocator's constants, as in `tui_ft.memory.allocator`.
_BLOCK: Final = 512
_SMALL: Final = 1 << 20
_LARGE_SEGMENT: Final = 20 << 20
_OWN_SEGMENT: Final = 10 << 20
_SEGMENT_STEP: Final = 2 << 20


def block_of(size: int) -> int:
    """Return the bytes of the block that the caching allocator gives for a tensor.

    A rest of a segment of up to 1 MiB is not split off: so a tensor of 10 MiB or more, which gets a
    segment of its own, takes whole steps of 2 MiB where no more than that is left over; and of
    smaller ones in segments of 20 MiB, the last takes the rest, which is spread over all of them
    here (c10/cuda/CUDACachingAllocator.cpp, `should_split`).
    """
    if size >= _OWN_SEGMENT:
        up = -(-size // _SEGMENT_STEP) * _SEGMENT_STEP
        if up - size <= _SMALL:
            return up
    elif size > _SMALL:
        number = _LARGE_SEGMENT // size
        if _LARGE_SEGMENT - number * size <= _SMALL:
            return _LARGE_SEGMENT // number
    return -(-size // _BLOCK) * _BLOCK


class Storage:
    """Bytes that are alive as long as this object is."""

    __slots__ = ("block", "size", "tape", "uses")

    def __init__(self, tape: Tape, size: int) -> None:
        """Take ``size`` bytes, rounded as the allocator rounds them."""
        self.tape = tape
        self.block = None if tape.allocator is None else tape.allocator.request(size)
        self.size = size = block_of(size)
        self.uses = 0
        tape.live = live = tape.live + size
        if live > tape.peak:  # noqa: PLR1730 - runs some thousand times a step: max is slower
            tape.peak = live

    def __del__(self) -> None:
        """Give the bytes back."""
        tape = self.tape
        tape.live -= self.size
        if self.block is not None and tape.allocator is not None:
            tape.allocator.release(self.block)


class Sink(Protocol):
    """What a gradient can flow to."""

    def take(self, gradient: Storage) -> None:
        """Add a gradient to what came before."""


Target = tuple[Sink | None, int]
"""Where a gradient goes, and its bytes; 0 bytes pass on the incoming one itself."""


class Tensor:
    """A tensor: how many numbers of how many bytes, where they are, and what made them.

    Attributes:
        count: numbers.
        width: bytes of one.
        storage: what holds them; None for what is counted elsewhere.
        source: what its gradient flows to; None where none is needed.
    """

    __slots__ = ("count", "source", "storage", "width")

    def __init__(
        self, count: int, width: int, storage: Storage | None, source: Sink | None = None
    ) -> None:
        self.count = count
        self.width = width
        self.storage = storage
        self.source = source

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * self.width


class Leaf:
    """A leaf of the graph, which keeps its gradient: an input, or a weight that is trained."""

    __slots__ = ("gradient", "there", "weight")

    def __init__(self, *, weight: bool = False, there: bool = False) -> None:
        """Begin without a gradient.

        Args:
            weight: its gradient is kept until the optimizer's step.
            there: one of an earlier pass is there, counted elsewhere, to which it is added.
        """
        self.weight = weight
        self.there = there
        self.gradient: Storage | None = None

    def take(self, gradient: Storage) -> None:
        """Keep a gradient; a second one is added in place."""
        if self.there or self.gradient is not None:
            return
        self.gradient = gradient
        if self.weight:
            gradient.tape.gradients.append(gradient)


class Node:
    """An operation that has a derivative."""

    __slots__ = ("after", "around", "before", "gradient", "saved", "targets")

    def __init__(
        self,
        targets: Sequence[Target],
        saved: Sequence[Storage | None],
        before: Sequence[int] = (),
        around: Sequence[int] = (),
        after: Sequence[int] = (),
    ) -> None:
        self.targets = targets
        self.saved = saved
        self.before = before
        self.around = around
        self.after = after
        self.gradient: Storage | None = None

    def take(self, gradient: Storage) -> None:
        """Keep a gradient; add a second in place, where nothing else holds the first."""
        first = self.gradient
        if first is None:
            gradient.uses += 1
            self.gradient = gradient
        elif first.uses > 1:
            first.uses -= 1
            self.gradient = Storage(gradient.tape, first.size)
            self.gradient.uses = 1


class Split(Node):
    """An operation whose outputs are parts of its input: their gradients are joined again."""

    __slots__ = ("parts",)

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__(targets, ())
        self.parts: list[Storage] = []

    def take(self, gradient: Storage) -> None:
        """Keep the gradients of all parts until it is this node's turn."""
        gradient.uses += 1
        self.parts.append(gradient)
        self.gradient = gradient


class Tape:
    """Counts bytes while operations are written on it.

    Attributes:
        live: bytes alive.
        peak: the most since the start, or since it was set.
        needed: the most until the last tensor was kept that a derivative reads.
        low: bytes of a number to which autocast casts; None without autocast.
        learns: operations are recorded, as under `torch.enable_grad`.
        keeps_casts: autocast keeps a weight's copy until it ends; not so while recomputing.
        pinned: what an operation keeps past a checkpoint, which only holds back what autograd
            itself saves; None where nothing is kept, as under `torch.no_grad`.
        kept: what the training loop keeps beside the graph.
        gradients: of weights, kept until the optimizer's step.
        allocator: where all of it is requested as well, to see what would be reserved.
    """

    __slots__ = (
        "allocator",
        "casts",
        "gradients",
        "keeps_casts",
        "kept",
        "learns",
        "live",
        "low",
        "needed",
        "nodes",
        "peak",
        "pinned",
    )

    def __init__(
        self,
        *,
        low: int | None = None,
        learns: bool = True,
        keeps_casts: bool = True,
        checkpointed: bool = False,
        allocator: CachingAllocator | None = None,
    ) -> None:
        self.allocator = allocator
        self.live = self.peak = self.needed = 0
        self.low = low
        self.learns = learns
        self.keeps_casts = keeps_casts
        self.nodes: list[Node] = []
        self.gradients: list[Storage] = []
        self.kept: list[Storage | None] = []
        self.pinned: list[Storage | None] | None = [] if checkpointed else None
        self.casts: dict[int, tuple[object, Tensor]] = {}

    def new(self, count: int, width: int) -> Tensor:
        """Return a new tensor that needs no gradient."""
        return Tensor(count, width, Storage(self, count * width))

    def input(self, count: int, width: int, *, learns: bool) -> Tensor:
        """Return a tensor from outside, to which a gradient flows if it ``learns``."""
        return Tensor(count, width, Storage(self, count * width), Leaf() if learns else None)

    def touch(self, *sizes: int) -> None:
        """Count tensors that are there for a moment beside what is alive, in bytes."""
        if self.allocator is not None:
            blocks = [self.allocator.request(size) for size in sizes if size > 0]
            for block in blocks:
                self.allocator.release(block)
        taken = self.live + sum(sizes)
        self.peak = max(self.peak, taken)

    def make(
        self,
        count: int,
        width: int,
        targets: Sequence[Target],
        saved: Sequence[Storage | None] = (),
        *,
        before: Sequence[int] = (),
        around: Sequence[int] = (),
        after: Sequence[int] = (),
    ) -> Tensor:
        """Return what an operation makes.

        Args:
            count: numbers.
            width: bytes of one.
            targets: the inputs' sources, with the bytes of their gradients.
            saved: what its derivative reads.
            before: tensors that its derivative makes for a moment before it makes gradients.
            around: the same, and lets go of them only once it has made the gradients.
            after: the same, while the gradients are there.
        """
        node = self.record(targets, saved, before=before, around=around, after=after)
        return Tensor(count, width, Storage(self, count * width), node)

    def keep(self, out: Tensor, *saved: Storage | None) -> None:
        """Keep for a derivative what is there only once the operation is done."""
        if isinstance(out.source, Node):
            out.source.saved = saved
            self.needed = self.peak

    def record(
        self,
        targets: Sequence[Target],
        saved: Sequence[Storage | None] = (),
        *,
        before: Sequence[int] = (),
        around: Sequence[int] = (),
        after: Sequence[int] = (),
    ) -> Node | None:
        """Return the node of an operation; None where no input needs a gradient."""
        if not self.learns:
            return None
        needed = [target for target in targets if target[0] is not None]
        if not needed:
            return None
        if saved:
            self.needed = self.peak
        node = Node(needed, saved, before, around, after)
        self.nodes.append(node)
        return node

    def forget_casts(self) -> None:
        """End autocast: copies of weights live on only where a derivative reads them."""
        self.casts.clear()

    def backward(self) -> None:
        """Run every node that a gradient reaches, last made first."""
        nodes = self.nodes
        while nodes:
            node = nodes.pop()
            gradient = node.gradient
            if gradient is None:
                continue
            node.gradient = None
            if node.before:
                self.touch(*node.before)
            around = [Storage(self, size) for size in node.around]
            made = [
                (target, Storage(self, size) if size else gradient) for target, size in node.targets
            ]
            if node.after:
                self.touch(*node.after)
            around.clear()
            node.saved = ()
            if isinstance(node, Split):
                node.parts.clear()
            gradient.uses -= 1
            del gradient, node
            while made:
                target, passed = made.pop(0)
                if target is not None:
                    target.take(passed)
                del target, passed
