"""What is trained in which order: each stage a run of its own, with what it takes and why."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tui_ft.advise.advice import Choice, Phase
from tui_ft.advise.candidates import possible_ways
from tui_ft.advise.hyper import final_plan
from tui_ft.advise.node import Answer
from tui_ft.advise.plans import Plan
from tui_ft.advise.state import State
from tui_ft.advise.table import seconds_of_plan
from tui_ft.advise.ways import WAYS
from tui_ft.advise.writing.online import fill_of
from tui_ft.advise.writing.recipes import NAMES
from tui_ft.advise.writing.run import is_startable, run_choices, run_of
from tui_ft.memory.figure import Figure
from tui_ft.spec.chain import MODEL, PREVIOUS, STAGE

_FOR_ALL: Final = ("gpus", "method", "rank", "group", "kl", "answer_length")
"""Nodes that a person answers for all stages; of the others each stage has its own answer."""
_OF_STAGES: Final = ("approach", "objective")
_CHAIN_NAME: Final = 31
_WHY: Final = {
    "dpo": "after SFT: DPO on the pairs, with what SFT gives as the reference",
    "kto": "after SFT: KTO on the judgements",
    "grpo": "after SFT: its answers are in form now, and those that come out right win",
    "reward": "what the reward is learned from are the pairs",
    "rloo": "its answers are scored by the reward model: RLOO, which holds no value model",
    "ppo": "its answers are scored by the reward model: PPO, with a value head",
}


def stages_of(
    state: State, plan: Plan, choices: tuple[Choice, ...]
) -> tuple[tuple[Phase, ...], str]:
    """Return the stages of what was chosen, each as a run, and what their chain is called.

    A single stage makes no chain, nor do those of which one has no run.

    Args:
        state: the path, walked to its end.
        plan: of the first stage.
        choices: of the first stage; empty where no way to train it fits.
    """
    kinds = state.choice("objective").split("_then_")
    first = _phase(state, plan, kinds[0], choices, "this run")
    found = [first]
    for number, kind in enumerate(kinds[1:], 1):
        stage = _state_of(state, kind)
        its_plan = final_plan(stage)
        told = tuple(_beside_the_path(one) for one in run_choices(stage, its_plan))
        its_choices = _beginning(told, kinds, number)
        where = "a run of its own, from what this gives"
        found.append(_phase(stage, its_plan, kind, its_choices, where))
    if len(found) == 1 or not all(phase.run for phase in found):
        return tuple(found), ""
    name = _chain_name(found[0])
    return tuple(_named(phase, name) for phase in found), name


def _chain_name(first: Phase) -> str:
    """Return what a chain is called: as its first run, without the method."""
    assert first.run is not None, "all stages of a chain have a run"
    bare = re.sub(r"-(full|lora|qlora|prompt_tuning)$", "", first.run.name)
    short = bare[:_CHAIN_NAME]
    if re.match(r"\w", bare[_CHAIN_NAME:]):  # no half of a word
        short = re.sub(r"[-._][^-._]*$", "", short)
    return short.rstrip("-._") or "chain"


def _named(phase: Phase, chain: str) -> Phase:
    """Return a stage with its run called after the chain."""
    assert phase.run is not None, "all stages of a chain have a run"
    run = phase.run.model_copy(update={"name": f"{chain}-{phase.objective}"})
    return msgspec.structs.replace(phase, run=run)


def _state_of(state: State, kind: str) -> State:
    """Return the path as it would be for a later stage: what is about it is answered anew."""
    kept = {name: told for name, told in state.overrides.items() if name in _FOR_ALL}
    if WAYS[state.choice("method")].kind == "prompt_tuning":
        kept.pop("method", None)  # no later stage can begin with learned tokens
    answers = {
        name: answer
        for name, answer in state.answers.items()
        if state.nodes[name].stage in _OF_STAGES
    }
    objective = answers["objective"]
    answers["objective"] = Answer(kind, objective.how, _WHY.get(kind, ""), objective.source)
    stage = State(state.situation, state.estimator, state.nodes, kept, answers)
    if kept.get("method") not in {None, *(way.id for way in possible_ways(stage))}:
        stage.overrides = {name: told for name, told in kept.items() if name != "method"}
        stage.plans.clear()
    name = "rows"
    while name:
        stage.answers[name] = stage.answer(name)
        name = stage.nodes[name].leads_to(stage.choice(name))
    return stage


def _beside_the_path(choice: Choice) -> Choice:
    """Return a field of a later stage: what the path shows was answered for the first one."""
    return choice if choice.node in _FOR_ALL else msgspec.structs.replace(choice, node="")


def _beginning(choices: tuple[Choice, ...], kinds: list[str], number: int) -> tuple[Choice, ...]:
    """Return the fields of a later stage with what it begins with: what an earlier one leaves."""
    before = kinds[number - 1]
    if before != "reward":
        model, why = PREVIOUS, f"what stage {before} leaves"
    elif number > 1:
        model, why = f"{STAGE}{kinds[number - 2]}", f"what stage {kinds[number - 2]} leaves"
    else:
        return choices
    found = []
    for choice in choices:
        if choice.key == "model.chat_template":
            continue  # it was saved with what the earlier stage leaves
        replaced = Choice(key=MODEL, value=model, reason=why) if choice.key == MODEL else choice
        found.append(replaced)
    return tuple(found)


def _phase(state: State, plan: Plan, kind: str, choices: tuple[Choice, ...], said: str) -> Phase:
    figure = plan.figure if isinstance(plan.figure, Figure) else None
    seconds = seconds_of_plan(state, plan)
    known = bool(state.model.name and state.data.path)
    fill = fill_of(state, kind)
    run = run_of(state, plan, choices) if known and choices and plan.way != "smaller" else None
    return Phase(
        objective=kind,
        name=NAMES.get(kind, kind),
        startable=is_startable(state, plan),
        text=said,
        choices=tuple(
            msgspec.structs.replace(one, value=[]) if one.key in fill else one for one in choices
        ),
        run=run,
        fill=fill,
        method=plan.way,
        fit=plan.fit,
        low=None if figure is None else figure.low,
        expected=None if figure is None else figure.expected,
        high=None if figure is None else figure.high,
        free=plan.free,
        seconds=None if seconds is None else seconds.expected,
        seconds_low=None if seconds is None else seconds.low,
        seconds_high=None if seconds is None else seconds.high,
    )
