"""What people do wrong with rewards, recognised before it is done."""

from __future__ import annotations

from typing import Final

from tui_ft import text
from tui_ft.advise.method import ANSWERS_EACH, MOST_ANSWERS
from tui_ft.advise.online import (
    GROUPS,
    REWARDS,
    extracted,
    last_of,
    learns_a_reward,
    rewards_of,
    signal_share,
)
from tui_ft.advise.passes import total_steps
from tui_ft.advise.plans import Plan
from tui_ft.advise.state import State
from tui_ft.advise.table import seconds_of_plan
from tui_ft.spec.online import GENERATES

_FEW_PAIRS: Final = 5_000
_SMALL_GROUP: Final = 4
_FEW_ANSWERS: Final = 16
_LONG_STEP: Final = 120
"""Seconds from which a step is long: an hour then shows hardly whether the reward rises."""
_FORMS: Final = {
    "after_hashes": "that ends in `####` and what is right",
    "boxed": "in `\\boxed{}`",
    "last_line": "that stands alone on the last line",
}
_TYPICAL: Final = {"never": 0.01, "mostly": 0.98}


def _kind(state: State) -> str:
    """Return how the last stage learns from rewards; empty where none does."""
    last = last_of(state.choice("objective"))
    return last if last in GENERATES else ""


def _begins_with_answers(state: State) -> bool:
    """Tell whether the model answers before it has learned how."""
    return bool(_kind(state)) and not state.choice("objective").startswith("sft_then")


def before_sft(state: State, _plan: Plan) -> str | None:
    """Reinforcement learning of a model that does not answer in form."""
    if not _begins_with_answers(state):
        return None
    base = state.choice("model_kind") == "base" and state.passed("solves") not in ("some", "mostly")
    if not base and state.passed("solves") != "unformed":
        return None
    if state.choice("model_kind") != "base":
        return (
            "its answers are not in the form that earns a reward, and it would spend them "
            "searching for it: ask for that form in the prompts, or SFT first"
        )
    return (
        "a base model spends its answers searching for a form that earns anything: SFT first, or "
        "begin with the chat model of its family"
    )


def strict_form(state: State, _plan: Plan) -> str | None:
    """Right answers that earn nothing, for the form they are in."""
    if not _begins_with_answers(state) or extracted(state) not in _FORMS:
        return None
    return (
        f"only an answer {_FORMS[extracted(state)]} is compared: a right one said otherwise earns "
        "0. Ask for that form in the prompts, and read what the first steps reward"
    )


def without_variance(state: State, _plan: Plan) -> str | None:
    """A reward that is the same for all answers to a prompt."""
    solves = state.passed("solves")
    if _kind(state) not in GROUPS or solves not in _TYPICAL:
        return None
    group, right = int(state.choice("group")), _TYPICAL[solves]
    share = text.percent(signal_share(right, group))
    way = (
        "a larger model, easier prompts, or SFT on worked answers first"
        if solves == "never"
        else "take harder prompts, and drop those that always come out right"
    )
    return (
        f"where {text.percent(right)} of answers are right, only {share} of prompts have answers "
        f"that differ among {group}: the others teach nothing, and their time is lost. {way}"
    )


def too_rare(state: State, _plan: Plan) -> str | None:
    """SFT where GRPO was asked for."""
    if state.choice("approach") != "rl" or state.choice("objective") != "sft":
        return None
    return (
        "this is SFT, for GRPO has nothing to learn from as long as hardly any answer is right; "
        "it may teach such a small model little more than the form. A model of 1B and more solves "
        "some already: ask again with one, or with --answer solves=some once it gets 5 % right"
    )


def small_group(state: State, _plan: Plan) -> str | None:
    """Few answers to compare with."""
    if _kind(state) != "grpo" or int(state.choice("group")) >= _SMALL_GROUP:
        return None
    return (
        f"{state.choice('group')} answers to a prompt are compared with their own mean: most "
        "prompts say nothing, and the rest is noise. Take 8 and more, and fewer prompts a step"
    )


def kl_off(state: State, _plan: Plan) -> str | None:
    """No KL term beside a reward that can be outwitted."""
    if not _kind(state) or float(state.choice("kl")) or state.choice("reward") == "answer":
        return None
    return (
        "without a KL term nothing holds it to sensible answers: it will find what the reward gets "
        "wrong. Give 0.04 or more, and read the answers, not the reward alone"
    )


def by_length(state: State, _plan: Plan) -> str | None:
    """A learned reward."""
    if not _kind(state) or state.choice("reward") != "model":
        return None
    return (
        "reward models like long answers, and the policy finds it out: watch "
        "completions/mean_length, cut by max_completion_length, or add a reward `length` with "
        "`most`; compare with people's judgement, not with the reward"
    )


def hackable(state: State, _plan: Plan) -> str | None:
    """A reward that checks less than what is wanted."""
    if not _kind(state) or not rewards_of(state):
        return None
    match state.choice("reward"):
        case "form":
            return (
                "the reward checks the form alone, and an empty object in the right form earns as "
                "much as a right one: add a check of the content (http, or python)"
            )
        case "own":
            return (
                "whatever your program scores too high will be found: keep some prompts it never "
                "sees, and read answers to them"
            )
        case _:
            return None


def to_fill_in(state: State, _plan: Plan) -> str | None:
    """No reward."""
    if not _kind(state) or rewards_of(state):
        return None
    return (
        f"{REWARDS} is left to you, and without a reward there is nothing to learn: a reward model "
        "(from pairs), a check (exact_match, regex, json, length), an endpoint (http) or a "
        "function (python). Give one with --reward, or fill it in where the file says FILL IN"
    )


def few_pairs(state: State, _plan: Plan) -> str | None:
    """A reward model of few pairs."""
    learned = state.choice("objective").find("reward") >= 0 and learns_a_reward(state)
    if not learned or state.rows is None or state.rows >= _FEW_PAIRS:
        return None
    return (
        f"a reward model from {state.rows:,} pairs is soon outwitted by what is optimised against "
        "it: look at its accuracy on held-out pairs (below 65 % is next to chance), and take DPO "
        "when in doubt"
    )


def checkable(state: State, _plan: Plan) -> str | None:
    """Answers that a program could check, learned by imitation."""
    check = state.data.check
    if check is None or not check.value.marked or state.choice("objective") != "sft":
        return None
    if state.choice("goal") not in ("domain", "style", "instruction"):
        return None
    by = "an exact match" if check.value.reward else "a program of yours that runs them (--reward)"
    return (
        f"{check.value.what}: a program can check them. To get more of them right, rather than "
        f"answers like these, take the goal `reasoning`: GRPO with {by}"
    )


def few_on_each(state: State, plan: Plan) -> str | None:
    """Several GPUs that each generate a few answers, and wait as long as for many."""
    if not _kind(state) or plan.gpus == 1 or not 0 < plan.at_once <= _FEW_ANSWERS:
        return None
    many = min(MOST_ANSWERS, int(state.choice("effective_batch")) * plan.gpus)
    return (
        f"each of {plan.gpus} GPUs generates {plan.at_once} answers at once, which takes about as "
        f"long as {ANSWERS_EACH} would: with --answer effective_batch={many} a step sees more "
        "prompts in much the same time, and all prompts are seen sooner"
    )


def long_step(state: State, plan: Plan) -> str | None:
    """Minutes for each step."""
    steps, whole = total_steps(state, plan), None
    if _kind(state) and state.choice("objective") == _kind(state):
        whole = seconds_of_plan(state, plan)
    if not steps or whole is None or whole.expected < _LONG_STEP * steps:
        return None
    return (
        f"a step takes about {text.duration(whole.expected / steps)}: an hour is few of them, and "
        "tells hardly whether the reward rises. Shorter answers (--answer answer_length=…), fewer "
        "of them (--answer effective_batch=…), vLLM or a smaller model make it quicker"
    )


def takes_long(state: State, _plan: Plan) -> str | None:
    """Most of the time goes into answers."""
    if not _kind(state) or state.choice("gpus") == "none":  # vLLM would not help there
        return None
    return (
        "most of the time goes into generating answers: where vLLM is installed, "
        "training.extra: {use_vllm: true} is several times as fast (it takes memory of its own, "
        "which no figure here knows of). The reward of the first steps says how much it gets right"
    )
