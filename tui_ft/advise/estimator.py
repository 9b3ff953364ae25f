"""What advice asks of whoever estimates memory and time."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tui_ft.advise.situation import GpuFacts
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run does.

    Attributes:
        step: one forward and backward pass.
        passes: of all GPUs together, over all epochs.
        mean_length: tokens of a row with its padding, in the mean.
        gpu: on which; None is the CPU.
        gpus: how many of them.
        spread: how it is spread over them; None for one.
        updates: steps of the optimizer over all epochs; what offload costs goes by them.
        answers: that each of them generates, where the step has a `generation`.
    """

    step: Step
    passes: int
    mean_length: int
    gpu: GpuFacts | None
    gpus: int = 1
    spread: Sharding | None = None
    updates: int = 0
    answers: int = 0


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """How long a run takes, in seconds, with a band."""

    low: float
    expected: float
    high: float


class Estimator(Protocol):
    """Says what a step takes of each GPU, and how long a run takes; both at once, and purely."""

    def memory(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        """Return the peak on each GPU, or why it is not known.

        Args:
            step: what one GPU computes.
            spread: how the run is spread over several; None for one.
        """
        ...

    def rough(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        """Return about the same in a fraction of the time; `low` and `high` are far apart."""
        ...

    def seconds(self, work: Work) -> Seconds | Unknown:
        """Return how long the work takes, or why that is not known."""
        ...
