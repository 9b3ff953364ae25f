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

_BLOCK: Final = 512
FLOAT32: Final = 4


def block_of(size):
    if size >= 10485760:
        up = -(-size // 2097152) * 2097152
        return up if up - size <= 1048576 else -(-size // 512) * 512
    if size > 1048576:
        fit = 20971520 // size
        rest = 20971520 - fit*size
        if rest <= 1048576: return 20971520 // fit
    return -(-size // _BLOCK) * _BLOCK


class Storage:
    """Bytes that are alive as long as this object is."""

    __slots__ = ("size", "tape", "uses")

    def __init__(self, tape: Tape, size: int) -> None:
        """Take ``size`` bytes, rounded as the allocator rounds them."""
        self.tape = tape
        self.size = size = block_of(size)
        self.uses = 0
        tape.live += size
        if tape.live > tape.peak:
            tape.peak = tape.live

    def __del__(self) -> None:
        """Give the bytes back."""
        self.tape.live -= self.size


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
    """A leaf of the graph: a weight that is trained, or an input. Keeps its gradient."""

    __slots__ = ("gradient", "there")

    def __init__(self, *, there: bool = False) -> None:
        """Begin without a gradient, or with one of an earlier pass, counted elsewhere."""
        self.there = there
        self.gradient: Storage | None = None

    def take(self, gradient: Storage) -> None:
        """Keep a gradient; a second one is added in place."""
        if not self.there and self.gradient is None:
            self.gradient = gradient


class Node:
    """An operation that has a derivative."""

    __slots__ = ("after", "before", "gradient", "saved", "targets")

    def __init__(
        self,
        targets: Sequence[Target],
        saved: Sequence[Storage | None],
        before: int,
        after: int,
    ) -> None:
        self.targets = targets
        self.saved = saved
        self.before = before
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


class Tape:
    """Counts bytes while operations are written on it.

    Attributes:
        live: bytes alive.
        peak: the most since the start, or since it was set.
        low: bytes of a number to which autocast casts; None without autocast.
        learns: operations are recorded, as under `torch.enable_grad`.
        keeps_casts: autocast keeps a weight's copy until it ends; not so while recomputing.
        pinned: what an operation keeps past a checkpoint, which only holds back what autograd
            itself saves; None where nothing is kept, as under `torch.no_grad`.
    """

    __slots__ = ("casts", "keeps_casts", "learns", "live", "low", "nodes", "peak", "pinned")

    def __init__(
        self,
        *,
        low: int | None = None,
        learns: bool = True,
        keeps_casts: bool = True,
        checkpointed: bool = False,
    ) -> None:
        self.live = self.peak = 0
        self.low = low
        self.learns = learns
        self.keeps_casts = keeps_casts
        self.nodes: list[Node] = []
        self.pinned: list[Storage | None] | None = [] if checkpointed else None
        self.casts: dict[int, Tensor] = {}

    def new(self, count: int, width: int) -> Tensor:
        """Return a new tensor that needs no gradient."""
        return Tensor(count, width, Storage(self, count * width))

    def input(self, count: int, width: int, *, learns: bool) -> Tensor:
        """Return a tensor from outside, to which a gradient flows if it ``learns``."""
        return Tensor(count, width, Storage(self, count * width), Leaf() if learns else None)

    def touch(self, size: int) -> None:
        """Count bytes that are taken for a moment beside what is alive."""
        if self.live + size > self.peak:
            self.peak = self.live + size

    def make(
        self,
        count: int,
        width: int,
        targets: Sequence[Target],
        saved: Sequence[Storage | None] = (),
        *,
        before: int = 0,
        after: int = 0,
    ) -> Tensor:
        """Return what an operation makes.

        Args:
            count: numbers.
            width: bytes of one.
            targets: the inputs' sources, with the bytes of their gradients.
            saved: what its derivative reads.
            before: bytes that its derivative takes for a moment before it makes gradients.
            after: the same, while the gradients are there.
        """
        out = Tensor(count, width, Storage(self, count * width))
        out.source = self.record(targets, saved, before=before, after=after)
        return out

    def record(
        self,
        targets: Sequence[Target],
        saved: Sequence[Storage | None] = (),
        *,
        before: int = 0,
        after: int = 0,
    ) -> Node | None:
        """Return the node of an operation; None where no input needs a gradient."""
        if not self.learns:
            return None
        needed = [target for target in targets if target[0] is not None]
        if not needed:
            return None
        node = Node(needed, saved, before, after)
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
                self.touch(node.before)
            made = [
                (target, Storage(self, size) if size else gradient) for target, size in node.targets
            ]
            if node.after:
                self.touch(node.after)
            node.saved = ()
            gradient.uses -= 1
            del gradient, node
            while made:
                target, passed = made.pop(0)
                if target is not None:
                    target.take(passed)
                del target, passed
