"""How long a way to train takes, by the operations of its passes and the card's peak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from tui_ft.advise.decoding import decoding
from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.offloading import offloading
from tui_ft.memory.duration import TimedRun, duration, peak_flops, step_flops, utilisation
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.step import GENERATES, Step
from tui_ft.models import Architecture

_NOTHING: Final = Seconds(low=0.0, expected=0.0, high=0.0)


def seconds_of(
    work: Work, model: Architecture, trained: int, runs: Sequence[TimedRun] = ()
) -> Seconds | Unknown:
    """Return how long a run takes; on several GPUs, without what they tell each other.

    What goes between a GPU and the host's memory, where it is offloaded, is counted.

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
    answered = _answering(work, model) if step.objective in GENERATES else _NOTHING
    if isinstance(answered, Unknown):
        return answered
    try:
        flops = _flops(step, model, 0 if step.adapter is None else trained)
        moved = offloading(work)
    except ValueError as error:
        return Unknown(str(error))
    found = duration(flops, work.passes, peak, utilisation(runs, _kind(step)))
    return Seconds(
        low=found.low + answered.low + moved.low,
        expected=found.expected + answered.expected + moved.expected,
        high=found.high + answered.high + moved.high,
    )


def _answering(work: Work, model: Architecture) -> Seconds | Unknown:
    """Return how long all answers take to be generated: those made together wait for the longest.

    As good as always one of them runs to its limit.
    """
    plan, gpu = work.step.generation, work.gpu
    token = None if gpu is None else decoding(work.step, model, gpu.name)
    if plan is None or token is None or not work.answers:
        return Unknown("how long its answers take is not known")
    tokens = math.ceil(work.answers / plan.rows) * plan.new
    return Seconds(
        low=tokens * token.low, expected=tokens * token.expected, high=tokens * token.high
    )


def _flops(step: Step, model: Architecture, trained: int) -> int:
    """Return the operations of a pass; of answers, with those that only look at them."""
    forward = model.forward_flops(step.length)
    if step.objective not in GENERATES:
        return step_flops(step, forward, adapter=trained)
    learning = msgspec.structs.replace(step, objective="sft", generation=None)
    looks = 2 if step.objective == "ppo" else int(step.beta > 0)  # old policy and reference
    looks += len(step.reward_configs) or step.reward_model
    return step_flops(learning, forward, adapter=trained) + looks * step.batch * forward


def _kind(step: Step) -> str:
    if step.adapter is None:
        return "full"
    return "lora" if step.quantization is None else "qlora"
