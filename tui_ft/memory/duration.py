"""How long a run will take: operations, the card's peak, and how much of it training reaches.

Rough until runs of this machine have come to their end: how much of a card's peak a step reaches
differs more between machines than anything else here.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tui_ft.memory.step import GENERATES, PAIRED, Step

_ENOUGH: Final = 3
_TERA: Final = 10**12

PEAK_TFLOPS: Final[dict[str, float]] = {
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "A100": 312,
    "A40": 149.7,
    "A30": 165,
    "A10G": 70,
    "A10": 125,
    "V100": 125,
    "T4": 65,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "RTX PRO 6000": 504,
    "RTX 6000 Ada": 364,
    "RTX A6000": 154.8,
    "RTX A5000": 111.1,
    "RTX 5090": 209.5,
    "RTX 5080": 112.6,
    "RTX 4090": 165.2,
    "RTX 4080": 97.5,
    "RTX 3090 Ti": 80,
    "RTX 3090": 71,
    "RTX 3080": 59.5,
}
"""Peak of tensor cores on bfloat16 (float16 where there is none: V100, T4), accumulated in float32,
dense, in 10^12 operations a second: from NVIDIA's data sheets, and of GeForce cards from the
architectures' white papers (GA102, AD102, GB202). Where a data sheet has only the figure "with
sparsity", half of it. The first name that a GPU's name contains counts, more special ones first."""


class Utilisation(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a card's peak training reaches (MFU, arXiv:2204.02311, appendix B).

    Attributes:
        low: at worst.
        expected: in between.
        high: at best.
        runs: of this machine from which it was measured; 0 for a rough guess.
    """

    low: float
    expected: float
    high: float
    runs: int = 0


_GUESSES: Final[dict[str, Utilisation]] = {
    "full": Utilisation(low=0.12, expected=0.35, high=0.5),
    "lora": Utilisation(low=0.15, expected=0.3, high=0.45),
    "qlora": Utilisation(low=0.08, expected=0.2, high=0.35),
}
"""Before anything was measured. The low ends are what peft's benchmark comes to on an L40S, with
batches of some hundred tokens (full 0.12, LoRA 0.25; benchmarks/results); the high ones are what is
published of well-tuned training (PaLM 0.46). QLoRA pays for dequantising each weight."""


class TimedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run: its method's kind, all its operations, seconds of training, card's peak."""

    method: str
    flops: float
    seconds: float
    peak_flops: float


class Duration(msgspec.Struct, frozen=True, kw_only=True):
    """How long a step and a run take, in seconds.

    Attributes:
        step_low: of a step, at best.
        step: of a step.
        step_high: of a step, at worst.
        steps: optimizer steps of the run.
        rough: no run of this machine has been measured.
    """

    step_low: float
    step: float
    step_high: float
    steps: int
    rough: bool

    @property
    def low(self) -> float:
        """Seconds of the run, at best."""
        return self.step_low * self.steps

    @property
    def expected(self) -> float:
        """Seconds of the run."""
        return self.step * self.steps

    @property
    def high(self) -> float:
        """Seconds of the run, at worst."""
        return self.step_high * self.steps

    def __str__(self) -> str:
        """Return the hours, for people."""
        low, expected, high = (seconds / 3600 for seconds in (self.low, self.expected, self.high))
        said = f"{expected:.1f} h ({low:.1f} to {high:.1f})"
        return f"roughly {said}, until runs on this machine are measured" if self.rough else said


def peak_flops(name: str) -> float | None:
    """Return the operations a second of a GPU, by its name; None for one that is not known."""
    tera = card_value(name, PEAK_TFLOPS)
    return None if tera is None else tera * _TERA


def card_value(name: str, table: Mapping[str, float]) -> float | None:
    """Return what a table says of a GPU, by its name: the first card in it that the name holds."""
    words = f" {re.sub(r'[-_ ]+', ' ', name).lower()} "
    for card, value in table.items():
        if re.search(rf"(?<![a-z0-9]){re.escape(card.lower())}(?![a-z0-9])", words):
            return value
    return None


def step_flops(step: Step, forward: int, *, adapter: int = 0, passes: int = 1) -> int:
    """Return the operations of one optimizer step.

    A backward pass costs as much again for the gradients of activations, and once more for those of
    the weights that are trained: 6 N a token in full fine-tuning (arXiv:2001.08361, section 2.1), 4
    N with a frozen base; recomputing activations costs another forward pass. N counts the weights
    that a token passes: of a mixture of experts, its active ones.

    Args:
        step: what is trained; its batch of rows of its length.
        forward: operations of a forward pass over one row, attention included.
        adapter: weights of the adapter's matrices.
        passes: forward and backward passes of an optimizer step.

    Raises:
        ValueError: the objective generates answers, whose time is not one of operations.
    """
    if step.objective in GENERATES:
        raise ValueError(
            f"how long {step.objective} takes is not known: generating waits for memory, not for "
            "operations"
        )
    rows = step.batch * (2 if step.objective in PAIRED else 1)
    whole = 3 if step.adapter is None else 2
    of_adapter = 3 * 2 * adapter * step.length
    unlearned = _PASSES_WITHOUT_GRADIENTS.get(step.objective, 0)
    forwards = whole + (1 if step.checkpointing else 0) + unlearned
    again = 2 * adapter * step.length if step.checkpointing else 0
    return passes * rows * (forwards * forward + of_adapter + again)


_PASSES_WITHOUT_GRADIENTS: Final = {"dpo": 1, "kto": 3}
"""The reference's, and in KTO those of policy and reference over mismatched pairs."""


def utilisation(runs: Sequence[TimedRun], method: str) -> Utilisation:
    """Return how much of a card's peak a method reaches: measured by three runs or more of it.

    Args:
        runs: finished runs of this machine.
        method: kind of the method: full, lora or qlora; others are taken for LoRA.
    """
    shares = [
        run.flops / (run.seconds * run.peak_flops)
        for run in runs
        if run.method == method and run.seconds > 0
    ]
    if len(shares) < _ENOUGH:
        return _GUESSES.get(method, _GUESSES["lora"])
    return Utilisation(
        low=min(shares), expected=statistics.median(shares), high=max(shares), runs=len(shares)
    )


def duration(flops: float, steps: int, peak: float, reached: Utilisation) -> Duration:
    """Return how long a run takes.

    Args:
        flops: operations of an optimizer step, as of `step_flops`.
        steps: optimizer steps.
        peak: operations a second of the card, as of `peak_flops`.
        reached: how much of it is reached.
    """
    return Duration(
        step_low=flops / (peak * reached.high),
        step=flops / (peak * reached.expected),
        step_high=flops / (peak * reached.low),
        steps=steps,
        rough=reached.runs == 0,
    )
