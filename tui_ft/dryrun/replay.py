"""Replay a training step on `meta` and say what it would have taken on a GPU."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import msgspec
import torch
from torch import nn

from tui_ft.dryrun import fused_head
from tui_ft.dryrun.adapters import undeclared_tensors, without_values
from tui_ft.dryrun.autocast import Autocast, announced
from tui_ft.dryrun.four_bit import hidden_tensors
from tui_ft.dryrun.generation import generate
from tui_ft.dryrun.kernels import cuda_kernels
from tui_ft.dryrun.losses import loss_of, make_batch
from tui_ft.dryrun.model import Others, build, build_others, dtype
from tui_ft.dryrun.optimizers import Device, Optimizer, make_optimizer, tensors_of
from tui_ft.dryrun.rollouts import roll_out
from tui_ft.dryrun.tracker import StorageTracker
from tui_ft.memory.allocator import MIB, CachingAllocator
from tui_ft.memory.question import EMPTY
from tui_ft.memory.replayed import Moment, Replayed
from tui_ft.memory.states import paged_bytes
from tui_ft.memory.step import GENERATES, Step
from tui_ft.memory.traces import Recorder, Recording, UnsteadyError

_TIMELINE_POINTS: Final = 400
_STEADY: Final = 2
"""Number of the first step that makes no states."""


def replay(
    step: Step,
    lengths: Sequence[int] = (),
    *,
    device: Device = "cuda",
    expandable_segments: bool = False,
    orders: Sequence[Sequence[int]] = (),
) -> Replayed:
    """Return what a step takes: the largest of all that are replayed.

    The first step makes the optimizer's states, so at least two are run.

    Args:
        step: the step.
        lengths: of successive steps, in tokens; twice the step's own when not given. `EMPTY` gives
            what the allocator has cached back to the driver, as `torch.cuda.empty_cache()` does.
        device: whose kernels and optimizers are meant. On the CPU only what is requested means
            anything, for it has no such allocator.
        expandable_segments: the allocator's setting of that name.
        orders: of each the most that is reserved is found as well, from recorded steps.

    Raises:
        UnbuildableError: the model cannot be made.
        Exception: whatever the model's code raises on meta, where it needs data.
    """
    began = time.monotonic()
    low = dtype(step.arithmetic) if step.arithmetic else None
    with announced(low), without_values(), _as_on(device):
        model = build(step)
        others = build_others(step)
        allocator = CachingAllocator(expandable_segments=expandable_segments)
        tracker = StorageTracker(
            allocator, yes=not step.padded, share_selected=step.share_with_loss
        )
        workspace = _hold_weights(tracker, (model, *others.all()), step)
        loop = _Loop(step, model, others, tracker, device)
        loop.run(tuple(lengths) or (step.length, step.length))
        reserved, allocated, requested = (
            allocator.peak_reserved,
            tracker.peak.size,
            allocator.peak_requested,
        )
        held_between_steps = loop.held_between_steps
        loop.end()
        del loop, workspace
        found = _orders(step, model, others, device, orders, expandable=expandable_segments)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Replayed(
        requested=requested,
        allocated=allocated,
        reserved=reserved,
        held_between_steps=held_between_steps,
        by_kind={str(kind): size for kind, size in tracker.peak.by_kind.items()},
        stage=tracker.peak.stage,
        operation=tracker.peak.operation,
        stage_peaks={str(stage): size for stage, size in tracker.stage_peaks.items()},
        timeline=_thinned(tracker.timeline),
        trainable_parameters=sum(parameter.numel() for parameter in trained),
        parameters=_count(model),
        seconds=time.monotonic() - began,
        paged=sum(
            paged_bytes(step.optim, tuple(parameter.shape), str(parameter.dtype).split(".")[-1])
            for parameter in trained
        ),
        orders=found,
    )


def _orders(
    step: Step,
    model: Any,  # noqa: ANN401
    others: Others,
    device: Device,
    orders: Sequence[Sequence[int]],
    *,
    expandable: bool,
) -> tuple[int, ...]:
    """Return the most reserved in each order; nothing where steps differ in more than sizes."""
    if not orders:
        return ()
    try:
        lengths = [length for order in orders for length in order if length > EMPTY]
        recording = _recorded(step, model, others, device, lengths)
    except UnsteadyError:
        return ()
    return tuple(recording.peak_reserved(order, expandable_segments=expandable) for order in orders)


def _recorded(
    step: Step,
    model: Any,  # noqa: ANN401
    others: Others,
    device: Device,
    lengths: Sequence[int],
) -> Recording:
    """Return steps of a run, recorded at these lengths and between them.

    Raises:
        UnsteadyError: a step cannot be run again from its record.
    """
    recorder = Recorder()
    tracker = StorageTracker(recorder, yes=not step.padded, share_selected=step.share_with_loss)
    workspace = _hold_weights(tracker, (model, *others.all()), step)
    loop = _Loop(step, model, others, tracker, device)
    with _collecting_between_steps():
        recording = loop.record(max(lengths), min(lengths), recorder)
    loop.end()
    del workspace
    return recording


def _between(shortest: int, longest: int) -> list[int]:
    """Return lengths below the longest at which steps are recorded."""
    return sorted({(shortest + longest) // 2, shortest} - {longest}, reverse=True)


@contextmanager
def _collecting_between_steps() -> Iterator[None]:
    """Let Python collect cycles only when it is told to: so equal steps free alike."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Loop:
    """The training loop, as far as it decides what is held when."""

    def __init__(
        self,
        step: Step,
        model: Any,  # noqa: ANN401 - transformers is untyped here
        others: Others,
        tracker: StorageTracker,
        device: Device,
    ) -> None:
        self._step = step
        self._model = model
        self._others = others
        self._tracker = tracker
        self._device = device
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._held: Any = None
        self.held_between_steps = 0
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._count_gradient)
            for parameter in self._trained
        ]

    def end(self) -> None:
        """Let go of all that the loop holds."""
        self._held = None
        for hook in self._hooks:
            hook.remove()

    def run(self, lengths: Sequence[int]) -> None:
        """Train for as many steps as there are lengths."""
        optimizer = make_optimizer(self._step.optim, self._trained, self._device)
        with self._tracker:
            for number, length in enumerate(lengths):
                if length == EMPTY:
                    self._tracker.allocator.empty_cache()
                    continue
                if number <= 1 and EMPTY not in lengths:
                    # The first step only prepares: no states were held in it.
                    self._tracker.allocator.empty_cache()
                    self._tracker.start_measuring()
                self._train(optimizer, length, _nothing)
                self.held_between_steps = self._tracker.allocator.allocated
            self._evaluate(max(lengths))

    def _train(self, optimizer: Optimizer, length: int, updates: Callable[[], None]) -> None:
        if self._step.objective in GENERATES:
            self._roll_out(length)
        for _ in range(2 if self._step.accumulation else 1):
            self._forward_and_backward(optimizer, length)
        updates()
        self._update(optimizer)

    def record(self, longest: int, shortest: int, recorder: Recorder) -> Recording:
        """Return a run's first step, later ones of some lengths, and its evaluation, recorded.

        A mask whose length is a multiple of 16 needs no padding, and a loss may be made in more
        tiles: so a length that is unlike the longest is tried again with a token more.

        Raises:
            UnsteadyError: a step cannot be run again from its record.
        """
        optimizer = make_optimizer(self._step.optim, self._trained, self._device)
        lengths: list[int] = []

        def like_longest(length: int) -> bool:
            recorder.begin_step()
            self._train(optimizer, length, recorder.begin_update)
            gc.collect()
            lengths.append(length)
            return len(lengths) < _STEADY or recorder.steps_alike(_STEADY, len(lengths))

        with self._tracker:
            like_longest(longest)
            like_longest(longest)
            found = [
                like_longest(one) or like_longest(one + 1) for one in _between(shortest, longest)
            ]
            if not any(found) and longest > shortest:
                like_longest(longest - 1)
            recorder.begin_step()
            self._evaluate(longest)
            gc.collect()
            held, first, *steady, evaluation = recorder.traces(len(lengths))
        return Recording(held, first, dict(zip(lengths[1:], steady, strict=True)), evaluation)

    def _forward_and_backward(self, optimizer: Optimizer, length: int) -> None:
        with self._tracker.doing("forward", "inputs"):
            batch = make_batch(self._step, length)
        if self._step.holds_gradients:
            optimizer.zero_grad()
        with self._casting(), self._tracker.doing("forward", "activations"):
            loss, outputs = loss_of(self._step, self._model, self._others, batch)
        self._held = outputs if self._step.holds_outputs else None
        del outputs
        with self._tracker.doing("backward", "temporaries"):
            torch.autograd.backward(loss)

    def _roll_out(self, length: int) -> None:
        with self._casting(), self._tracker.doing("generation", "activations"):
            roll_out(self._step, self._model, self._others, length)

    def _evaluate(self, length: int) -> None:
        """Do what comes between steps: answers to look at, and the loss of held-out rows."""
        plan = self._step.generation
        if plan is not None and self._step.objective not in GENERATES:
            with self._casting(), self._tracker.doing("evaluation", "activations"):
                generate(self._model, plan.rows, plan.prompt, plan.new)
        if not self._step.evaluation_batch:
            return
        step = msgspec.structs.replace(self._step, batch=self._step.evaluation_batch)
        self._model.eval()
        with torch.no_grad(), self._tracker.doing("evaluation", "inputs"):
            batch = make_batch(step, length)
            with self._casting(), self._tracker.doing("evaluation", "activations"):
                loss_of(step, self._model, self._others, batch)
        self._model.train()

    def _casting(self) -> AbstractContextManager[object]:
        low = self._step.arithmetic
        return Autocast(dtype(low)) if low else nullcontext()

    def _update(self, optimizer: Optimizer) -> None:
        with self._tracker.doing("optimizer", "temporaries"):
            if self._step.clip:
                nn.utils.clip_grad_norm_(self._trained, 1.0)
            optimizer.step()
            for state in tensors_of(optimizer):
                self._tracker.hold(state, "optimizer")
            if not self._step.holds_gradients:
                optimizer.zero_grad()

    def _count_gradient(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            self._tracker.hold(parameter.grad, "gradients")


def _nothing() -> None:
    """Do nothing: no one records."""


@contextmanager
def _as_on(device: Device) -> Iterator[None]:
    if device == "cpu":
        yield
        return
    with cuda_kernels(), fused_head.as_on_cuda():
        yield


def _hold_weights(tracker: StorageTracker, models: Sequence[Any], step: Step) -> torch.Tensor:
    """Count weights, buffers, what quantised layers hold; return cuBLAS's workspace, counted."""
    for model in models:
        declared = (*model.parameters(), *model.buffers())
        for tensor in (*declared, *hidden_tensors(model), *undeclared_tensors(model)):
            tracker.hold(tensor, "weights")
    workspace = torch.empty(int(step.workspace_mib * MIB), dtype=torch.uint8, device="meta")
    tracker.hold(workspace, "temporaries")
    return workspace


def _count(model: nn.Module) -> int:
    total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        total += int(torch.Size(state.shape).numel()) if state is not None else parameter.numel()
    return total


def _thinned(timeline: list[tuple[Any, int]]) -> tuple[Moment, ...]:
    """Return a timeline of few points: of each stretch the moment with most held."""
    stride = max(1, -(-len(timeline) // _TIMELINE_POINTS))
    stretches = (timeline[start : start + stride] for start in range(0, len(timeline), stride))
    moments = (max(stretch, key=lambda moment: moment[1]) for stretch in stretches)
    return tuple(Moment(stage=stage, allocated=size) for stage, size in moments)
