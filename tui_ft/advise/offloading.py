"""What offload to the host's memory costs in time: the bus, and the host's processors.

Nothing is taken to overlap. The optimizer's step on the host waits for its memory: 28 bytes are
read and written for each value that AdamW updates (weight, gradient, two moments; all but the
gradient back). torch's fused step was measured to do so, at the memory's own rate
(benchmarks/results/2026-11-26-zero.md); which rate a server's memory has is a guess, and so is the
bus's: between PCIe 3 and 5, sixteen lanes, with several GPUs at it at once.
"""

from __future__ import annotations

from typing import Final

from tui_ft.advise.estimator import Seconds, Work
from tui_ft.memory.estimate.offload import host_of

_BUS: Final = (50e9, 20e9, 10e9)
"""Bytes a second to or from one GPU: at best, in between, at worst."""
_HOST: Final = (300e9, 100e9, 30e9)
"""Bytes a second that all the host's processors read and write together."""
_UPDATE: Final = 28


def offloading(work: Work) -> Seconds:
    """Return what offload adds to all of a run's passes and updates; nothing where none is.

    Raises:
        ValueError: the model or its optimizer is not known.
    """
    host = host_of(work.step, work.spread)
    moved = host.each_pass * work.passes + host.each_update * work.updates
    updated = _UPDATE * host.updated * work.updates
    low, expected, high = (
        moved / bus + updated / memory for bus, memory in zip(_BUS, _HOST, strict=True)
    )
    return Seconds(low=low, expected=expected, high=high)
