"""The decision tree, whole: its nodes, and the walk from the first question to advice.

Stages: `approach`, `objective`, `method`, `hyper` (hyper-parameters), one module each. A node is
data (`tui_ft.advise.node.Node`); its answer is a small pure function of what is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from tui_ft.advise import approach, hyper, method, objective
from tui_ft.advise.advice import Advice, Other, Taken
from tui_ft.advise.approaches import APPROACHES
from tui_ft.advise.cautions import cautions_of
from tui_ft.advise.estimator import Estimator
from tui_ft.advise.node import AnswerError, Node
from tui_ft.advise.objective import FIRST_STAGE
from tui_ft.advise.plans import Plan
from tui_ft.advise.recipes import phases_of
from tui_ft.advise.run import is_startable, run_choices, run_of
from tui_ft.advise.situation import Situation
from tui_ft.advise.state import State
from tui_ft.advise.table import table_of
from tui_ft.advise.ways import WAYS
from tui_ft.spec.combinations import impossible

_ALL: Final = (*approach.NODES, *objective.NODES, *method.NODES, *hyper.NODES)
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
        no_run = f"{chosen.name} needs no run; to train all the same, answer approach=sft"
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
    reason = _why_no_run(state, plan)
    run = None if reason else run_of(state, plan, choices)
    against = impossible(run) if run is not None else ()
    if against:
        run, reason = None, f"{against[0].reason}: {against[0].advice}"
    return Advice(
        **fields,  # type: ignore[arg-type]
        objective=goal,
        method=way,
        candidates=table_of(state, plan),
        run=run,
        no_run=reason,
        choices=choices,
        phases=phases_of(goal),
        cautions=cautions,
    )


def _why_no_run(state: State, plan: Plan) -> str:
    """Return why there is no run to start; nothing where there is one."""
    if plan.way == "smaller":
        found = f": {plan.model}" if plan.model and plan.fit == "fits" else ""
        return f"no way to train this model fits; ask again with a smaller one{found}"
    if not state.model.name or not state.data.path:
        return "a run needs a model and data, and one of them is not known"
    if is_startable(state, plan):
        return ""
    if state.choice("objective") in FIRST_STAGE:
        return f"ftui cannot start {WAYS[plan.way].name} yet"
    names = " then ".join(phase.name for phase in phases_of(state.choice("objective")))
    return f"ftui does not train {names} yet: the fields below hold for it with trl"
