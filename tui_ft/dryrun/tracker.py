"""Follow every tensor of a step that runs on the `meta` device into a model of CUDA's allocator.

Tensors on `meta` have shapes and no data. Every operation of the step, forward, backward and
optimizer, passes through a `TorchDispatchMode`; the storages it makes are requested from the
allocator, and given back when torch frees them. So the step's own code decides what lives how long.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import torch
from torch._guards import active_fake_mode
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from tui_ft.dryrun.answers import Answers
from tui_ft.dryrun.kernels import scratch_of
from tui_ft.dryrun.results import Results
from tui_ft.memory.allocator import Block, CachingAllocator

Kind = Literal[
    "weights", "gathered", "gradients", "optimizer", "inputs", "activations", "temporaries"
]
Stage = Literal["before", "generation", "forward", "backward", "optimizer", "evaluation"]
KINDS: Final[tuple[Kind, ...]] = (
    "weights",
    "gathered",
    "gradients",
    "optimizer",
    "inputs",
    "activations",
    "temporaries",
)
_aten = torch.ops.aten

_IN_PLACE: Final = {
    _aten.scatter_add.default: _aten.scatter_add_.default,
    _aten.index_add.default: _aten.index_add_.default,
    _aten._unsafe_index_put.default: _aten.index_put_.default,
}
"""What autograd does to zeros that it has just made, but never in place under a dispatch mode
(`areAnyTensorSubclassLike` in torch/csrc/autograd/FunctionsManual.cpp)."""

# References to a tensor, and to its storage, that this call itself makes.
_USES_HERE: Final = 4
_STORAGE_USES_HERE: Final = 2


@dataclass(slots=True, eq=False)
class _Held:
    """A storage that is alive."""

    size: int
    kind: Kind
    block: Block
    watch: Any  # the weak reference whose callback frees the block


@dataclass(slots=True)
class Peak:
    """The moment when most was allocated.

    Attributes:
        size: bytes.
        stage: of the step.
        operation: torch's name of what was being done.
        by_kind: the bytes of each kind.
    """

    size: int = 0
    stage: Stage = "before"
    operation: str = ""
    by_kind: dict[Kind, int] = field(default_factory=dict)


class StorageTracker(TorchDispatchMode):
    """Counts what torch holds, by kind and stage, while it is entered.

    Attributes:
        allocator: where the storages are requested.
        kind: of storages made from now on.
        stage: of the step, now.
        peak: since `start_measuring`.
        stage_peaks: the most allocated in each stage since then.
        timeline: (stage, bytes allocated) after every operation since then.
    """

    def __init__(
        self, allocator: CachingAllocator, *, yes: bool = True, share_selected: float = 1.0
    ) -> None:
        """Begin with nothing tracked.

        Args:
            allocator: where the storages are requested.
            yes: the answer to every question whose answer stands in data, such as "is this mask
                all ones?".
            share_selected: how much a selection by a boolean mask keeps of what it selects from.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.allocator = allocator
        self.kind: Kind = "activations"
        self.stage: Stage = "before"
        self._answers = Answers(yes=yes, share_selected=share_selected)
        self._results = Results()
        self._held: dict[int, _Held] = {}
        self._by_kind: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.start_measuring()

    def start_measuring(self) -> None:
        """Forget peaks and timeline so far."""
        self.allocator.start_measuring()
        self.peak = Peak(self.allocator.allocated, self.stage, "", dict(self._by_kind))
        self.stage_peaks: dict[Stage, int] = {}
        self.timeline: list[tuple[Stage, int]] = []

    @property
    def by_kind(self) -> dict[Kind, int]:
        """The bytes held now, by kind."""
        return dict(self._by_kind)

    @contextmanager
    def doing(self, stage: Stage, kind: Kind) -> Iterator[None]:
        """Count what is made inside as of this stage and kind."""
        before = self.stage, self.kind
        self.stage, self.kind = stage, kind
        try:
            yield
        finally:
            self.stage, self.kind = before

    def hold(self, tensor: torch.Tensor, kind: Kind, operation: str = "") -> None:
        """Count a tensor's storage, or put one that is counted already under another kind."""
        tensor = local(tensor)
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        key = storage._cdata
        held = self._held.get(key)
        if held is not None and held.size == size:
            self._recount(held, kind)
            return
        if held is not None:
            self._forget(key, held)
        if size == 0:
            return
        self._held[key] = held = _Held(size, kind, self.allocator.request(size), None)
        held.watch = weakref.ref(storage, self._forgetter(key, held))
        self._by_kind[kind] += held.block.size
        self._look_for_peak(operation)

    def let_go(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage no more: it was emptied."""
        key = tensor.untyped_storage()._cdata
        held = self._held.get(key)
        if held is not None:
            self._forget(key, held)

    def take_for_a_moment(self, sizes: list[int], operation: str) -> None:
        """Count memory that a kernel takes and gives back without torch seeing a tensor."""
        blocks = [self.allocator.request(size) for size in sizes if size > 0]
        taken = sum(block.size for block in blocks)
        self._by_kind["temporaries"] += taken
        self._look_for_peak(operation)
        self._by_kind["temporaries"] -= taken
        for block in blocks:
            self.allocator.release(block)

    def __torch_dispatch__(
        self,
        operation: Any,  # noqa: ANN401 - torch's OpOverload
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run one operation and count what it makes."""
        if any(issubclass(one, DTensor) for one in types):
            return NotImplemented  # of what is shared out, operations on this rank's part are seen
        if active_fake_mode() is not None:  # DTensor asks what shape an operation gives
            return operation(*args, **(kwargs or {}))
        if operation is torch.ops._c10d_functional.wait_tensor.default:
            return args[0]  # on meta it would be a new one
        if _sums_gradients(operation, args):
            return args[0].add_(args[1])
        if self.stage == "backward" and operation in _IN_PLACE and not torch.is_grad_enabled():
            return _IN_PLACE[operation](*args, **(kwargs or {}))
        out = self._answers.to(operation, args, kwargs or {})
        if out is None:
            out = self._results.of(operation, args, kwargs or {})
        name = operation._schema.name
        for tensor in _tensors(out):
            if tensor.device.type == "meta" and self._is_new(tensor):
                self.hold(tensor, self.kind, name)
        scratch = scratch_of(name, args)
        if scratch:
            self.take_for_a_moment(scratch, name)
        self.timeline.append((self.stage, self.allocator.allocated))
        return out

    def _is_new(self, tensor: torch.Tensor) -> bool:
        storage = tensor.untyped_storage()
        held = self._held.get(storage._cdata)
        return held is None or held.size != storage.nbytes()

    def _forgetter(self, key: int, held: _Held) -> Callable[[object], None]:
        def forget(_: object) -> None:
            if self._held.get(key) is held:
                self._forget(key, held)

        return forget

    def _forget(self, key: int, held: _Held) -> None:
        del self._held[key]
        self._by_kind[held.kind] -= held.block.size
        self.allocator.release(held.block)

    def _recount(self, held: _Held, kind: Kind) -> None:
        self._by_kind[held.kind] -= held.block.size
        self._by_kind[kind] += held.block.size
        held.kind = kind

    def _look_for_peak(self, operation: str) -> None:
        now = self.allocator.allocated
        if now > self.peak.size:
            self.peak = Peak(now, self.stage, operation, dict(self._by_kind))
        if now > self.stage_peaks.get(self.stage, 0):
            self.stage_peaks[self.stage] = now


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a tensor that is shared out; the tensor itself otherwise."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def _sums_gradients(operation: Any, args: tuple[Any, ...]) -> bool:  # noqa: ANN401
    """Tell whether autograd would add the second gradient of a tensor to the first in place.

    It does so where nothing else holds the first (torch/csrc/autograd/input_buffer.cpp), but never
    under a dispatch mode: without this, every sum would take memory that it does not take.
    """
    if operation is not _aten.add.Tensor or torch.is_grad_enabled():
        return False
    first, second = args
    if not isinstance(second, torch.Tensor) or first.shape != second.shape:
        return False
    return (
        first.dtype == second.dtype
        and torch.ops.aten.is_non_overlapping_and_dense.default(first)
        and first._use_count() == _USES_HERE
        and torch._C._storage_Use_Count(first.untyped_storage()._cdata) == _STORAGE_USES_HERE
    )


def _tensors(out: object) -> Iterator[torch.Tensor]:
    if isinstance(out, torch.Tensor):
        if out.layout is torch.strided:  # a sparse one holds tensors that are counted already
            yield out
    elif isinstance(out, (tuple, list)):
        for one in out:
            yield from _tensors(one)
