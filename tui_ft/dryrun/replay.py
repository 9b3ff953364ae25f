"""Replay a training step on `meta` and say what it would have taken on a GPU."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import bitsandbytes as bnb
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
from tui_ft.dryrun.optimizers import (
    Device,
    Optimizer,
    embedding_weights,
    make_optimizer,
    tensors_of,
)
from tui_ft.dryrun.rollouts import roll_out
from tui_ft.dryrun.sharded import followed, several_gpus, share_out
from tui_ft.dryrun.tracker import StorageTracker
from tui_ft.memory.allocator import MIB, CachingAllocator
from tui_ft.memory.question import EMPTY
from tui_ft.memory.replayed import Moment, Replayed
from tui_ft.memory.sharding import Sharding
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
    least: bool = False,
    sharding: Sharding | None = None,
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
        orders: of each the most that is reserved is found as well, from recorded steps; without
            ``lengths`` these are measured, and no others.
        least: find the least memory as well that each order runs in.
        sharding: FSDP, of whose GPUs the first one is meant.

    Raises:
        UnbuildableError: the model cannot be made.
        Exception: whatever the model's code raises on meta, where it needs data.
    """
    began = time.monotonic()
    low = dtype(step.arithmetic) if step.arithmetic else None
    with announced(low), without_values(), _as_on(device), several_gpus(sharding):
        model = build(step, shared=sharding is not None)
        if sharding is not None:
            model = share_out(model, step, sharding)
        others = build_others(step)
        setting = _Setting(step, model, others, device, expandable_segments, sharding)
        found = _ran(setting, lengths) if lengths or not orders else None
        reserved: tuple[int, ...] = ()
        needed: tuple[int, ...] = ()
        if orders:
            found, reserved, needed = _in_orders(setting, found, orders, least=least)
        if found is None:  # a step that cannot be recorded
            found = _ran(setting, ())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    looked_up = embedding_weights(model)
    return msgspec.structs.replace(
        found,
        trainable_parameters=sum(parameter.numel() for parameter in trained),
        parameters=_count(model),
        seconds=time.monotonic() - began,
        paged=sum(
            paged_bytes(
                step.optim,
                tuple(parameter.shape),
                str(parameter.dtype).split(".")[-1],
                embedding=parameter in looked_up,
            )
            for parameter in trained
        ),
        orders=reserved,
        least=needed,
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    """A step with its models, and where it runs."""

    step: Step
    model: Any
    others: Others
    device: Device
    expandable: bool
    sharding: Sharding | None = None

    def loop(self, allocator: CachingAllocator) -> tuple[_Loop, torch.Tensor]:
        """Return a training loop whose weights are counted, and what else has to be held."""
        step = self.step
        tracker = StorageTracker(
            allocator, yes=not step.padded, share_selected=step.share_with_loss
        )
        workspace = _hold_weights(tracker, (self.model, *self.others.all()), step)
        return _Loop(step, self.model, self.others, tracker, self.device), workspace


def _ran(setting: _Setting, lengths: Sequence[int]) -> Replayed:
    """Return what steps of these lengths take: the largest of all."""
    loop, workspace = setting.loop(CachingAllocator(expandable_segments=setting.expandable))
    with followed(loop.tracker, setting.sharding):
        loop.run(tuple(lengths) or (setting.step.length,) * 2)
    found = loop.measured()
    loop.end()
    del workspace
    return found


def _in_orders(
    setting: _Setting,
    found: Replayed | None,
    orders: Sequence[Sequence[int]],
    *,
    least: bool,
) -> tuple[Replayed | None, tuple[int, ...], tuple[int, ...]]:
    """Return what a step takes, if it is not found yet; what orders of steps reserve, and need.

    Nothing of that where steps differ in more than sizes.
    """
    lengths = [length for order in orders for length in order if length > EMPTY]
    expandable = setting.expandable
    recorder = Recorder()
    loop, workspace = setting.loop(recorder)
    try:
        with _collecting_between_steps(), followed(loop.tracker, setting.sharding):
            recording = loop.record(max(lengths), min(lengths), recorder, quickly=least)
    except UnsteadyError:
        return found, (), ()
    finally:
        loop.end()
        del workspace
    peaks = [recording.peak_reserved(order, expandable_segments=expandable) for order in orders]
    needed = []
    for order, peak in zip(orders, peaks, strict=True) if least else ():
        needed.append(recording.least_memory(order, peak, expandable_segments=expandable))
    return found or loop.recorded_step, tuple(peaks), tuple(needed)


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
        self.tracker = tracker
        self._device = device
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._held: Any = None
        self.held_between_steps = 0
        self.recorded_step: Replayed | None = None
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
        optimizer = make_optimizer(
            self._step.optim, self._trained, self._device, embedding_weights(self._model)
        )
        with self.tracker:
            for number, length in enumerate(lengths):
                if length == EMPTY:
                    self.tracker.allocator.empty_cache()
                    continue
                if number <= 1 and EMPTY not in lengths:
                    # The first step only prepares: no states were held in it.
                    self.tracker.allocator.empty_cache()
                    self.tracker.start_measuring()
                self._train(optimizer, length, _nothing)
                self.held_between_steps = self.tracker.allocator.allocated
            self._evaluate(max(lengths))

    def _train(self, optimizer: Optimizer, length: int, updates: Callable[[], None]) -> None:
        if self._step.objective in GENERATES:
            self._roll_out(length)
        for _ in range(2 if self._step.accumulation else 1):
            self._forward_and_backward(optimizer, length)
        updates()
        self._update(optimizer)

    def measured(self) -> Replayed:
        """Return what was found since the tracker began to measure."""
        tracker = self.tracker
        return Replayed(
            requested=tracker.allocator.peak_requested,
            allocated=tracker.peak.size,
            reserved=tracker.allocator.peak_reserved,
            held_between_steps=self.held_between_steps,
            by_kind={str(kind): size for kind, size in tracker.peak.by_kind.items()},
            stage=tracker.peak.stage,
            operation=tracker.peak.operation,
            stage_peaks={str(stage): size for stage, size in tracker.stage_peaks.items()},
            timeline=_thinned(tracker.timeline),
            trainable_parameters=0,
            parameters=0,
            seconds=0.0,
        )

    def record(
        self, longest: int, shortest: int, recorder: Recorder, *, quickly: bool
    ) -> Recording:
        """Return a run's first step, later ones of some lengths, and its evaluation, recorded.

        A mask whose length is a multiple of 16 needs no padding, and a loss may be made in more
        tiles: so a length that is unlike the longest is tried again with a token more.

        Args:
            longest: tokens of a batch; a step of it is measured as well.
            shortest: tokens.
            recorder: the tracker's allocator.
            quickly: nothing between them is recorded.

        Raises:
            UnsteadyError: a step cannot be run again from its record.
        """
        optimizer = make_optimizer(
            self._step.optim, self._trained, self._device, embedding_weights(self._model)
        )
        lengths: list[int] = []

        def like_longest(length: int) -> bool:
            recorder.begin_step()
            self._train(optimizer, length, recorder.begin_update)
            gc.collect()
            lengths.append(length)
            return len(lengths) < _STEADY or recorder.steps_alike(_STEADY, len(lengths))

        with self.tracker:
            like_longest(longest)
            recorder.empty_cache()
            self.tracker.start_measuring()
            like_longest(longest)
            self.held_between_steps = recorder.allocated
            self.recorded_step = self.measured()
            middle = () if quickly else ((shortest + longest) // 2,)
            others = sorted({*middle, shortest}, reverse=True)
            found = [like_longest(one) or like_longest(one + 1) for one in others if one < longest]
            if not any(found) and longest > shortest:
                like_longest(longest - 1)
            recorder.begin_step()
            if self._evaluate(longest):
                self.recorded_step = self.measured()
            gc.collect()
            held, first, *steady, evaluation = recorder.traces(len(lengths))
        return Recording(held, first, dict(zip(lengths[1:], steady, strict=True)), evaluation)

    def _forward_and_backward(self, optimizer: Optimizer, length: int) -> None:
        with self.tracker.doing("forward", "inputs"):
            batch = make_batch(self._step, length)
        if self._step.holds_gradients:
            optimizer.zero_grad()
        with self._casting(), self.tracker.doing("forward", "activations"):
            loss, outputs = loss_of(self._step, self._model, self._others, batch)
        self._held = outputs if self._step.holds_outputs else None
        del outputs
        with self.tracker.doing("backward", "temporaries"):
            torch.autograd.backward(loss)

    def _roll_out(self, length: int) -> None:
        with self._casting(), self.tracker.doing("generation", "activations"):
            roll_out(self._step, self._model, self._others, length)

    def _evaluate(self, length: int) -> bool:
        """Do what comes between steps: answers to look at, the loss of held-out rows; if any."""
        step, plan = self._step, self._step.generation
        answers = plan if step.objective not in GENERATES else None
        if answers is not None:
            with self._casting(), self.tracker.doing("evaluation", "activations"):
                generate(self._model, answers.rows, answers.prompt, answers.new)
        if not step.evaluation_batch:
            return answers is not None
        step = msgspec.structs.replace(step, batch=step.evaluation_batch)
        self._model.eval()
        with torch.no_grad(), self.tracker.doing("evaluation", "inputs"):
            batch = make_batch(step, length)
            with self._casting(), self.tracker.doing("evaluation", "activations"):
                loss_of(step, self._model, self._others, batch)
        self._model.train()
        return True

    def _casting(self) -> AbstractContextManager[object]:
        low = self._step.arithmetic
        return Autocast(dtype(low)) if low else nullcontext()

    def _update(self, optimizer: Optimizer) -> None:
        with self.tracker.doing("optimizer", "temporaries"):
            if self._step.clip:
                nn.utils.clip_grad_norm_(self._trained, 1.0)
            optimizer.step()
            for state in tensors_of(optimizer):
                self.tracker.hold(state, "optimizer")
            if not self._step.holds_gradients:
                optimizer.zero_grad()

    def _count_gradient(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            self.tracker.hold(parameter.grad, "gradients")


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
    packed = {id(one.weight): one for one in model.modules() if isinstance(one, bnb.nn.Linear4bit)}
    for parameter in model.parameters():
        layer = packed.get(id(parameter))
        size = parameter.numel() if layer is None else torch.Size(layer.quant_state.shape).numel()
        total += int(size)
    return total


def _thinned(timeline: list[tuple[Any, int]]) -> tuple[Moment, ...]:
    """Return a timeline of few points: of each stretch the moment with most held."""
    stride = max(1, -(-len(timeline) // _TIMELINE_POINTS))
    stretches = (timeline[start : start + stride] for start in range(0, len(timeline), stride))
    moments = (max(stretch, key=lambda moment: moment[1]) for stretch in stretches)
    return tuple(Moment(stage=stage, allocated=size) for stage, size in moments)
