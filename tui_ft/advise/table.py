"""The table of candidates: each way with its figures, and why it was or was not taken."""

from __future__ import annotations

from typing import Final

from tui_ft import text
from tui_ft.advise.advice import Candidate
from tui_ft.advise.candidates import in_host, possible_ways
from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.passes import mean_padded_length, total_answers, total_passes, total_steps
from tui_ft.advise.plans import Plan, plan_of
from tui_ft.advise.situation import GpuFacts
from tui_ft.advise.state import State
from tui_ft.advise.used_gpus import used_gpus
from tui_ft.advise.ways import WAYS, Way
from tui_ft.memory.figure import Figure

_SMALL: Final = 1_000_000_000


def table_of(state: State, chosen: Plan) -> tuple[Candidate, ...]:
    """Return every way that can be thought of here, in the order of `WAYS`."""
    rows = []
    for way in possible_ways(state):
        plan = chosen if way.id == chosen.way else plan_of(state, way.id)
        rows.append(_row(state, way, plan, chosen))
    if chosen.way not in {row.way for row in rows}:  # a person's choice, thought of or not
        rows.append(_row(state, WAYS[chosen.way], chosen, chosen))
    return tuple(rows)


def _row(state: State, way: Way, plan: Plan, chosen: Plan) -> Candidate:
    figure = plan.figure if isinstance(plan.figure, Figure) else None
    seconds = seconds_of_plan(state, plan)
    taken = way.id == chosen.way
    return Candidate(
        way=way.id,
        name=way.name,
        chosen=taken,
        fit=plan.fit,
        low=None if figure is None else figure.low,
        expected=None if figure is None else figure.expected,
        high=None if figure is None else figure.high,
        free=plan.free,
        batch=plan.batch,
        accumulation=plan.accumulation,
        checkpointing=plan.checkpointing,
        max_length=plan.max_length,
        gpus=plan.gpus,
        seconds=None if seconds is None else seconds.expected,
        seconds_low=None if seconds is None else seconds.low,
        seconds_high=None if seconds is None else seconds.high,
        quality=way.quality,
        risk=way.risk,
        why_not=state.answer("method").reason if taken else _why_not(state, way, plan, chosen),
        source=way.source,
        startable=way.startable,
        problem="" if isinstance(plan.figure, Figure) else plan.figure.reason,
        model=plan.model,
        host=plan.host,
        host_free=plan.host_free if plan.host else None,
    )


def seconds_of_plan(state: State, plan: Plan) -> Seconds | None:
    """Return how long a way takes; None where that is not known."""
    passes = total_passes(state, plan)
    if plan.step is None or passes is None or plan.way == "smaller":
        return None
    work = Work(
        step=plan.step,
        passes=passes,
        mean_length=mean_padded_length(state, plan),
        gpu=_gpu(state, plan),
        gpus=plan.gpus,
        spread=WAYS[plan.way].spread(plan.gpus),
        updates=total_steps(state, plan) or 0,
        answers=total_answers(state, plan) or 0,
    )
    found = state.estimator.seconds(work)
    return found if isinstance(found, Seconds) else None


def _gpu(state: State, plan: Plan) -> GpuFacts | None:
    gpus = used_gpus(state)
    if not gpus:
        return None
    return gpus[-1] if plan.gpus > 1 else gpus[0]


def _why_not(state: State, way: Way, plan: Plan, chosen: Plan) -> str:
    if way.kind == "smaller":
        return _smaller(plan, chosen)
    if not isinstance(plan.figure, Figure) or plan.free is None:
        return "what it takes is not known"
    if way.offloads:
        return _offloaded(state, plan, chosen)
    if plan.fit == "no":
        return (
            f"needs {text.memory(plan.figure.expected)} with one row and checkpointing; "
            f"{text.memory(plan.free)} are free"
        )
    if plan.fit == "tight":
        return f"may need {text.memory(plan.figure.high)}; {text.memory(plan.free)} are free"
    return _though_it_fits(state, way, chosen)


def _offloaded(state: State, plan: Plan, chosen: Plan) -> str:
    """Return why what is held in the host's memory was not taken: there is none, or it is slow."""
    assert isinstance(plan.figure, Figure)
    if not plan.fits_gpus:
        high = text.memory(plan.figure.high)
        return f"needs {high} of each GPU all the same; {text.memory(plan.free)} are free"
    if plan.fit == "no":
        return f"needs {in_host(plan)}"
    said = f"possible with {in_host(plan)}"
    mine, its = seconds_of_plan(state, plan), seconds_of_plan(state, chosen)
    if mine is None or its is None or chosen.way == "smaller":
        return f"{said}; slow"
    return (
        f"{said}; slow: {text.duration(mine.expected)}, against {text.duration(its.expected)} with "
        f"{WAYS[chosen.way].name}"
    )


def _smaller(plan: Plan, chosen: Plan) -> str:
    found = f"{plan.model}: {plan.fit}" if plan.model else "none of this family is known"
    needless = "" if chosen.fit == "no" else "; not needed: this one fits"
    return f"{found}{needless}"


def _though_it_fits(state: State, way: Way, chosen: Plan) -> str:
    other = WAYS[chosen.way]
    taken = other.name
    if way.half_weights:
        return f"{taken} is the safer way to spend the memory"
    if way.kind == other.kind:
        return _otherwise_spread(way, other, chosen)
    said = {
        "prompt_tuning": f"{taken} fits and learns more",
        "full": _full(state, taken),
        "lora": f"it fits, and changes less than is wished for; {taken} was taken",
        "qlora": f"{taken} fits: no need to round the base, and it is faster",
    }
    return said.get(way.kind, "")


def _otherwise_spread(way: Way, taken: Way, chosen: Plan) -> str:
    """Return why the same method was not spread over the GPUs in this other way."""
    if not taken.spreads:
        return "it fits, but you chose one GPU"
    if not way.spreads:
        return f"it fits one GPU; on {chosen.gpus} it takes about 1/{chosen.gpus} of the time"
    if way.shares:
        return "a copy fits each GPU: sharing it out would only cost traffic"
    return f"it fits; {taken.name} was taken"


def _full(state: State, taken: str) -> str:
    parameters = state.model.parameters
    if parameters is not None and parameters.value < _SMALL:
        size = text.count(parameters.value)
        return (
            f"it fits, and {size} parameters cost little: worth a second run; {taken} forgets less"
        )
    rows = _count(state.rows)
    return f"it fits, but {rows} rows do not need every weight, and it forgets more than {taken}"


def _count(rows: int | None) -> str:
    return "the" if rows is None else f"{rows:,}"
