"""The fields of a run that lets the model answer: rewards, groups, KL, length; and why."""

from __future__ import annotations

from typing import Any

from tui_ft.advise import sources
from tui_ft.advise.advice import Choice
from tui_ft.advise.online import GROUPS, REWARDS, is_online, named_file, rewards_of
from tui_ft.advise.passes import HELD_OUT_PROMPTS, PPO_EPOCHS
from tui_ft.advise.plans import MINI_BATCHES, Plan
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.way_step import UNKNOWN_REWARD
from tui_ft.advise.writing.training import evaluates_on, from_node


def fill_of(state: State, kind: str) -> tuple[str, ...]:
    """Return the fields of a stage that only a person can fill in."""
    return (REWARDS,) if is_online(kind) and not rewards_of(state) else ()


def online_choices(state: State, plan: Plan) -> list[Choice]:
    """Return what is particular to an objective that answers prompts; nothing for others."""
    objective = state.choice("objective")
    if not is_online(objective):
        return []
    choices = [_rewards(state)]
    if objective in GROUPS:
        choices.append(from_node(state, "objective.num_generations", "group", _group(state)))
        choices.append(from_node(state, "objective.beta", "kl", float(state.choice("kl"))))
        if evaluates_on(state):
            why = "one answer to each held-out prompt: the mean over them says enough"
            choices.append(_own("objective.num_generations_eval", 1, why))
        if plan.at_once and plan.at_once < plan.batch * plan.accumulation:
            why = f"{plan.at_once} answers at once: keys and values of a whole step's do not fit"
            steps = plan.at_once // plan.batch
            choices.append(_own("objective.steps_per_generation", steps, why))
    else:
        choices += _ppo(state, plan)
    length = int(state.choice("answer_length"))
    choices.append(from_node(state, "objective.max_completion_length", "answer_length", length))
    return choices


def held_out_choices(state: State) -> list[Choice]:
    """Return how many held-out prompts are answered at each look."""
    if not is_online(state.choice("objective")) or not evaluates_on(state):
        return []
    why = "each look answers them all: so many say enough, and cost little"
    return [_own("data.max_eval_rows", HELD_OUT_PROMPTS, why)]


def _rewards(state: State) -> Choice:
    answer, found = state.answer("reward"), rewards_of(state)
    file = named_file(state)
    reason = answer.reason
    if not found:
        reason = (
            f"FILL IN: read {file}, then set allow_code to true: it runs as you"
            if file
            else f"FILL IN what is rewarded: {answer.reason}"
        )
    return Choice(
        key=REWARDS,
        value=found or [dict(UNKNOWN_REWARD)],
        reason=reason,
        source=answer.source,
        how=answer.how,
    )


def _group(state: State) -> int:
    return int(state.choice("group"))


def _ppo(state: State, plan: Plan) -> list[Choice]:
    recipe = at(sources.COMPLETE, "7.4")
    sized = "a large batch and normalised advantages are what PPO does well by"
    return [
        from_node(state, "objective.init_kl_coef", "kl", float(state.choice("kl"))),
        *(
            [_own("objective.adap_kl_ctrl", False, "a weight of 0 cannot adapt")]
            if not float(state.choice("kl"))
            else []
        ),
        _own("objective.num_ppo_epochs", PPO_EPOCHS, "each rollout is learned from again", recipe),
        _own("objective.num_mini_batches", MINI_BATCHES, sized, sources.DPO_OR_PPO),
        _own("objective.horizon", 2000, "the KL weight has to adapt within some thousand answers"),
        _own("objective.missing_eos_penalty", 1.0, "an answer that does not end is no answer"),
        _own(
            "objective.local_rollout_forward_batch_size",
            plan.at_once or 64,
            "the most answers at once that fit",
        ),
    ]


def _own(key: str, value: Any, reason: str, source: str = sources.OWN) -> Choice:  # noqa: ANN401
    return Choice(key=key, value=value, reason=reason, source=source)
