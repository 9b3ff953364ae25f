"""Which way to train is taken: the first, as they are wished for, that fits the memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.online import is_online
from tui_ft.advise.plans import Plan, plan_of, shorter_lengths
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import used_gpus
from tui_ft.advise.ways import ADAPTER_FIRST, INSTEAD, WAYS, WEIGHTS_FIRST, Way
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure

_BF16_FROM: Final = (8, 0)
_NAMED: Final = 4
"""How many ways that do not fit are named; the table has them all."""


@dataclass(frozen=True, slots=True)
class Found:
    """The way that suits best, and why."""

    way: str
    reason: str
    source: str = ""
    guessed: bool = False


def possible_ways(state: State) -> tuple[Way, ...]:
    """Return the ways that can be thought of here: what is shared out needs several GPUs."""
    several = len(used_gpus(state)) > 1
    online = is_online(state.choice("objective"))
    # Weights that are shared out would be gathered anew for each token of an answer; and how long
    # answers get is a question of its own.
    found = [
        way
        for way in WAYS.values()
        if (several or not way.spreads) and not (online and (way.shares or way.shorter))
    ]
    if any((gpu.capability or _BF16_FROM) < _BF16_FROM for gpu in used_gpus(state)):
        found = [way for way in found if not way.half_weights]
    plan = plan_of(state, "qlora")
    if plan.fit in ("fits", "unknown") or not shorter_lengths(state):
        found = [way for way in found if not way.shorter]
    return tuple(way for way in found if not way.offloads or _asks_for_offload(state, way))


def _asks_for_offload(state: State, way: Way) -> bool:
    """Tell whether a way that offloads is to be thought of: what it stands in for does not fit."""
    return all(plan_of(state, other).fit == "no" for other in INSTEAD[way.id])


def best_fitting(state: State) -> Found:
    """Return the way to take: the first in order of preference that fits and can be started.

    What cannot be started yet is taken where nothing else fits; then what fits with luck; then a
    smaller model.
    """
    wishes_all = state.choice("capacity") == "all"
    order = WEIGHTS_FIRST if wishes_all else ADAPTER_FIRST
    possible = {way.id for way in possible_ways(state)}
    plans = [plan_of(state, way) for way in order if way in possible]
    fitting = [plan for plan in plans if plan.fit == "fits"]
    ready = [plan for plan in fitting if WAYS[plan.way].startable]
    tight = [plan for plan in plans if plan.fit == "tight" and WAYS[plan.way].startable]
    for chosen in (*ready[:1], *fitting[:1], *tight[:1]):
        return Found(chosen.way, _why(chosen, plans), WAYS[chosen.way].source)
    unknown = [plan for plan in plans if plan.fit == "unknown"]
    if unknown:
        figure = unknown[0].figure
        why = figure.reason if isinstance(figure, Unknown) else "the GPU's memory cannot be read"
        return Found("qlora", f"what it takes is not known: {why}", guessed=True)
    least = min(plans, key=_high)
    said = f"even {WAYS[least.way].name} takes {_sizes(least)}"
    return Found("smaller", f"{said}: a smaller model fits", at(sources.COMPLETE, "1.2"))


def _why(plan: Plan, ordered: Sequence[Plan]) -> str:
    way = WAYS[plan.way]
    said = f"{way.name} fits: {_sizes(plan)}"
    if plan.fit == "tight" and isinstance(plan.figure, Figure):
        said = f"{way.name} may fit: {text.memory(plan.figure.expected)} expected, {_sizes(plan)}"
    before = [
        WAYS[earlier.way].name for earlier in ordered[: ordered.index(plan)] if earlier.fit == "no"
    ]
    if len(before) > _NAMED:
        said += f"; the {len(before)} ways that come before it do not"
    elif before:
        said += f"; {' and '.join(before)} {'does' if len(before) == 1 else 'do'} not"
    if way.offloads:
        said += f"; {in_host(plan)}"
    if way.kind in ("lora", "qlora") and not way.spreads:
        # Ops Guide goes by the card's size: below 24 GB QLoRA, to 80 GB LoRA.
        said += "; figures for this GPU decide, not the Ops Guide's 24 and 80 GB"
    return said


def in_host(plan: Plan) -> str:
    """Return what a plan takes of the host's memory, in words."""
    there = "and how much there is nobody said"
    if plan.host_free is not None:
        there = f"of {text.memory(plan.host_free)} available"
    return f"{text.memory(plan.host)} of the host's memory, {there}"


def _sizes(plan: Plan) -> str:
    if isinstance(plan.figure, Unknown):
        return plan.figure.reason
    return f"{text.memory(plan.figure.high)} at most of {text.memory(plan.free)} free"


def _high(plan: Plan) -> int:
    return plan.figure.high if isinstance(plan.figure, Figure) else 1 << 62
