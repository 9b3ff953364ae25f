"""What a dry run of one training step found."""

from __future__ import annotations

import msgspec


class Moment(msgspec.Struct, frozen=True):
    """A point of the timeline: the stage, and the bytes allocated."""

    stage: str
    allocated: int


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was replayed on `meta`; all sizes in bytes.

    Attributes:
        requested: the most that tensors held, unrounded.
        allocated: the most that tensors took, `torch.cuda.max_memory_allocated`.
        reserved: the most that the allocator took for them, `torch.cuda.max_memory_reserved`.
        held_between_steps: what is left when a step is over: weights, optimizer states, workspace.
        by_kind: the bytes allocated at the peak, by kind.
        stage: of the peak: forward, backward or optimizer.
        operation: torch's name of what was being done at the peak.
        stage_peaks: the most allocated in each stage.
        timeline: of the last steps, at most some hundred points.
        trainable_parameters: how many values are trained.
        parameters: how many values the model has, packed ones counted for what they stand for.
        paged: what a paged optimizer holds beside, in memory that moves between host and GPU.
        seconds: that the replay took.
        orders: the most reserved in each order that was asked for; empty when none was, or when a
            step cannot be run again from its record.
        least: the least memory that each of these orders runs in: what is cached is given back to
            the driver where there is no more room, as torch does before it gives up.
    """

    requested: int
    allocated: int
    reserved: int
    held_between_steps: int
    by_kind: dict[str, int]
    stage: str
    operation: str
    stage_peaks: dict[str, int]
    timeline: tuple[Moment, ...]
    trainable_parameters: int
    parameters: int
    seconds: float
    paged: int = 0
    orders: tuple[int, ...] = ()
    least: tuple[int, ...] = ()
