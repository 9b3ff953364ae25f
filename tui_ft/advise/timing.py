"""How long a way to train takes, by the operations of its passes and the card's peak."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tui_ft.advise.estimator import Seconds, Work
from tui_ft.memory.duration import TimedRun, duration, peak_flops, step_flops, utilisation
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.step import Step
from tui_ft.models import Architecture


def seconds_of(
    work: Work, model: Architecture, trained: int, runs: Sequence[TimedRun] = ()
) -> Seconds | Unknown:
    """Return how long a run takes; on several GPUs, without what they tell each other.

    Args:
        work: all that it does.
        model: what it is done with.
        trained: how many values are trained.
        runs: finished runs of this machine, by which it is less rough.
    """
    if work.gpu is None:
        return Unknown("how long a run takes on a CPU is not known")
    peak = peak_flops(work.gpu.name)
    if peak is None:
        return Unknown(f"the peak of {work.gpu.name} is not known")
    step = msgspec.structs.replace(work.step, length=work.mean_length)
    try:
        flops = step_flops(
            step,
            model.forward_flops(work.mean_length),
            adapter=0 if step.adapter is None else trained,
        )
    except ValueError as error:
        return Unknown(str(error))
    found = duration(flops, work.passes, peak, utilisation(runs, _kind(step)))
    return Seconds(low=found.low, expected=found.expected, high=found.high)


def _kind(step: Step) -> str:
    if step.adapter is None:
        return "full"
    return "lora" if step.quantization is None else "qlora"
