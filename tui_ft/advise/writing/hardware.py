"""The hardware group of a run: which GPUs, and how it is spread over several."""

from __future__ import annotations

from typing import Any

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.advice import Choice
from tui_ft.advise.candidates import in_host
from tui_ft.advise.plans import Plan
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import best_gpu, used_gpus
from tui_ft.advise.ways import WAYS
from tui_ft.memory.figure import Figure

_GPUS = "hardware.gpus"


def hardware_choices(state: State, plan: Plan) -> list[Choice]:
    """Return the fields of the hardware group and why, in the order of a RunSpec."""
    if state.choice("gpus") == "none":
        return [Choice(key=_GPUS, value="none", reason="the CPU: no GPU is taken")]
    if plan.gpus > 1:
        return [*_several(state, plan), _spread(state, plan), *_offload(plan)]
    return [_one(state, plan)]


def _one(state: State, plan: Plan) -> Choice:
    gpu = best_gpu(state)
    if gpu is None or state.situation.hypothetical_gpus or len(state.gpus) == 1:
        return Choice(key=_GPUS, value="auto", reason="one GPU: the one with most free memory")
    needed = plan.figure.high if isinstance(plan.figure, Figure) else None
    if needed is not None and all((one.free or 0) >= needed for one in state.gpus):
        why = f"any of the {len(state.gpus)} GPUs has the memory; one is taken"
        return Choice(key=_GPUS, value="auto", reason=why)
    free = text.memory(gpu.free)
    why = f"of {len(state.gpus)} GPUs the one with most free memory ({free})"
    return Choice(key=_GPUS, value=[gpu.index], reason=why)


def _several(state: State, plan: Plan) -> list[Choice]:
    """Return which GPUs: how many, where it takes all; their numbers, where some are left out."""
    numbers = sorted(gpu.index for gpu in used_gpus(state))
    if len(numbers) < len(state.gpus):
        left = len(state.gpus) - len(numbers)
        why = (
            f"{left} of {len(state.gpus)} GPUs {'is' if left == 1 else 'are'} left out: somebody "
            "else holds most of the memory there, and the fullest one decides for all"
        )
        return [Choice(key=_GPUS, value=numbers, reason=why)]
    why = f"all {plan.gpus}: rows are shared out over them, {_faster(plan)}"
    return [
        Choice(key=_GPUS, value="auto", reason="those with most free memory"),
        Choice(key="hardware.num_gpus", value=plan.gpus, reason=why, how=state.how("gpus")),
    ]


def _faster(plan: Plan) -> str:
    if plan.at_once:
        return "and learned from at once; generating a few answers takes as long as many"
    return f"which takes about 1/{plan.gpus} of the time"


def _spread(state: State, plan: Plan) -> Choice:
    way = WAYS[plan.way]
    high = text.memory(plan.figure.high if isinstance(plan.figure, Figure) else None)
    if way.sharding == "ddp":
        why = (
            f"DDP: all of it fits each GPU ({high} at most), so that gradients are all that has to "
            "travel; sharing weights out would cost more traffic"
        )
        source = f"{at(sources.OPS, 'decision tree')}; {sources.DDP}"
    else:
        what = "weights, gradients and states" if way.kind == "full" else "the base"
        why = (
            f"FSDP2: {what} shared out, {high} at most on each; DeepSpeed ZeRO-3 does the same "
            "(kind: deepspeed) where it is installed"
        )
        source = f"{at(sources.OPS, 'decision tree')}; {sources.FSDP}"
    if way.sharding == "zero3":
        why = (
            f"DeepSpeed ZeRO-3: the base is shared out and comes from the host's memory, {high} at "
            "most on each GPU; FSDP would have trl make the loss of LoRA on the processors"
        )
        source = sources.OFFLOAD
    how = state.how("method")
    kind = "deepspeed" if way.sharding == "zero3" else way.sharding
    return Choice(key="hardware.distributed.kind", value=kind, reason=why, source=source, how=how)


def _offload(plan: Plan) -> list[Choice]:
    """Return what lies in the host's memory, and that it is slow."""
    way = WAYS[plan.way]
    if not way.offloads:
        return []
    why = f"{in_host(plan)}; weights come over the bus in each pass, which is slow"
    values: dict[str, Any] = {"cpu_offload": True}
    if way.sharding == "zero3":
        values = {
            "zero_stage": 3,
            "offload_optimizer_device": "cpu",
            "offload_param_device": "cpu",
        }
    return [
        Choice(key=f"hardware.distributed.{name}", value=value, reason=why, source=sources.OFFLOAD)
        for name, value in values.items()
    ]
