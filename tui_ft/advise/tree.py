"""The decision tree, whole: its nodes, and the walk from the first question to advice.

Stages: `approach`, `objective` (and `online`), `method`, `hyper` (hyper-parameters). A node is
data (`tui_ft.advise.node.Node`); its answer is a small pure function of what is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from tui_ft.advise import approach, hyper, method, objective, online
from tui_ft.advise.advice import Advice, Other, Phase, Taken
from tui_ft.advise.approaches import APPROACHES
from tui_ft.advise.cautions import cautions_of, later_cautions
from tui_ft.advise.estimator import Estimator
from tui_ft.advise.node import AnswerError, Node
from tui_ft.advise.plans import Plan
from tui_ft.advise.situation import Situation
from tui_ft.advise.state import State
from tui_ft.advise.table import table_of
from tui_ft.advise.writing.run import run_choices
from tui_ft.advise.writing.stages import stages_of
from tui_ft.spec.combinations.table import impossible

_ALL: Final = (
    *approach.NODES,
    *online.FIRST,
    *objective.NODES,
    *online.AFTER,
    *method.NODES,
    *hyper.NODES,
)
NODES: Final[dict[str, Node]] = {node.id: node for node in _ALL}
"""Every node by its id, in the order of the stages."""
FIRST: Final = "goal"


def advise(
    situation: Situation,
    answers: Mapping[str, str] | None = None,
    *,
    estimator: Estimator,
) -> Advice:
    """Return advice for a situation. Pure: the same for the same arguments.

    Args:
        situation: what is known.
        answers: a person's choices by node id, which go before the tree's own.
        estimator: says what a step takes, and how long a run takes.

    Raises:
        AnswerError: there is no such node, or it has no such answer.
    """
    overrides = {name: _node(name).checked(choice) for name, choice in (answers or {}).items()}
    state = State(situation, estimator, NODES, overrides)
    path = _walk(state)
    taken = tuple(one.node for one in path)
    advice = _approach(state, path, tuple(name for name in overrides if name not in taken))
    if state.passed("objective") in (None, "none"):
        return advice
    return _trained(state, advice)


def _node(name: str) -> Node:
    node = NODES.get(name)
    if node is None:
        near = difflib.get_close_matches(name, NODES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(NODES)}"
        raise AnswerError(f"there is no question `{name}`; {hint}")
    return node


def _walk(state: State) -> tuple[Taken, ...]:
    """Answer node after node until a branch ends; remember the answers in ``state``."""
    path: list[Taken] = []
    name = FIRST
    while name:
        node = NODES[name]
        answer = state.answer(name)
        state.answers[name] = answer
        own = node.answer(state).choice if name in state.overrides else ""
        path.append(
            Taken(
                node=name,
                stage=node.stage,
                question=node.question,
                choice=answer.choice,
                label=node.label(answer.choice),
                how=answer.how,
                reason=answer.reason,
                source=answer.source,
                own="" if own == answer.choice else own,
                others=tuple(
                    Other(branch.choice, branch.label)
                    for branch in node.branches
                    if branch.choice != answer.choice
                ),
                number=node.number is not None,
            )
        )
        name = node.leads_to(answer.choice)
    return tuple(path)


def _approach(state: State, path: tuple[Taken, ...], unused: tuple[str, ...]) -> Advice:
    """Return the advice as far as it goes without training."""
    chosen = APPROACHES[state.choice("approach")]
    no_run = "nothing can be learned from these rows yet; map their columns, or take other rows"
    if not chosen.trains:
        otherwise = "to train all the same, answer the last question otherwise (approach=sft)"
        no_run = f"{chosen.name} needs no run; {otherwise}"
    elif state.passed("objective") == "none":
        no_run = state.answer("objective").reason
    return Advice(
        path=path,
        approach=chosen.id,
        approach_name=chosen.name,
        cost=chosen.cost,
        time=chosen.time,
        no_run=no_run,
        unused=unused,
    )


def _trained(state: State, advice: Advice) -> Advice:
    """Return the advice with candidates, run and reasons."""
    plan = hyper.final_plan(state)
    way, goal = state.choice("method"), state.choice("objective")
    cautions = cautions_of(state, plan)
    fields = {
        "path": advice.path,
        "approach": advice.approach,
        "approach_name": advice.approach_name,
        "cost": advice.cost,
        "time": advice.time,
        "unused": advice.unused,
    }
    choices = run_choices(state, plan) if way != "smaller" else ()
    phases, chain = stages_of(state, plan, choices)
    reason = _why_no_run(state, plan, phases)
    run = None if reason else phases[0].run
    return Advice(
        **fields,  # type: ignore[arg-type]
        objective=goal,
        method=way,
        candidates=table_of(state, plan),
        run=run,
        no_run=reason,
        choices=phases[0].choices,
        phases=phases,
        chain=chain,
        cautions=(*cautions, *later_cautions(phases)),
    )


def _why_no_run(state: State, plan: Plan, phases: tuple[Phase, ...]) -> str:
    """Return why there is no run to start; nothing where there is one."""
    if plan.way == "smaller":
        found = f": {plan.model}" if plan.model and plan.fit == "fits" else ""
        return f"no way to train this model fits; ask again with a smaller one{found}"
    if not state.model.name or not state.data.path:
        return "a run needs a model and data, and one of them is not known"
    refused = next(filter(None, map(_refusal, phases)), "")
    if refused:
        return refused
    left = [f"{phase.objective}: {key}" for phase in phases for key in phase.fill]
    if left:
        return (
            f"{', '.join(left)} is left to you: what is written has a place marked FILL IN, and "
            "is refused until then"
        )
    return ""


def _refusal(phase: Phase) -> str:
    """Return why a stage cannot be started on what there is; nothing where it can."""
    if phase.method == "smaller":
        return f"the stage {phase.objective} fits no GPU here: take a smaller model"
    against = impossible(phase.run) if phase.run is not None else ()
    return f"{against[0].reason}: {against[0].advice}" if against else ""
