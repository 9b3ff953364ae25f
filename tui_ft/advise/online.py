"""What is asked where the model would learn from rewards of its own answers."""

from __future__ import annotations

from typing import Any, Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.node import Answer, Branch, Node, Range
from tui_ft.advise.situation import How
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.spec.online import GENERATES

SMALLEST: Final = 400_000_000
"""Parameters below which hardly any worked sum comes out right: of GSM8K SmolLM2-135M-Instruct
solves 1.4 %, 360M 7 %, Qwen2.5-0.5B-Instruct 50 % (their model cards)."""
GROUPS: Final = {"grpo": 8, "rloo": 4}
LENGTHS: Final = (256, 512, 1024, 2048)
REWARDS: Final = "objective.rewards"
_ADDRESS: Final = ("http://", "https://")


def last_of(objective: str) -> str:
    """Return the last stage of an objective of the tree."""
    return objective.rpartition("_then_")[2]


def is_online(objective: str) -> bool:
    """Tell whether a stage of this kind lets the model answer."""
    return objective in GENERATES


def signal_share(right: float, answers: int) -> float:
    """Return the share of prompts whose answers do not all earn the same.

    A group without difference has no advantage and no gradient (DAPO, arXiv:2503.14476, 3.2):
    1 - p^G - (1 - p)^G for answers that are right with probability p.
    """
    return float(1 - right**answers - (1 - right) ** answers)


# What tells a good answer from a bad one


def _reward(state: State) -> Answer:
    named, check = state.situation.reward, state.data.check
    if named is not None:
        kind = "own" if _is_own(named.value) else "model"
        return Answer(kind, named.how, f"{named.value}, as you said")
    if check is not None:
        by = {"answer": "answer", "form": "form", "tests": "own"}[check.value.kind]
        why = f"{check.value.what}"
        if by == "own":
            why += "; ftui runs no code of a data set's: a file or an endpoint of yours has to"
        return Answer(by, check.how, why, sources.RLVR)
    if _has_pairs(state):
        why = "the pairs teach a reward model which answers are better"
        return Answer("model", "measured", why, at(sources.INSTRUCT, "3.5"))
    why = (
        "nothing in the rows tells; there are exact_match, regex, json, length, reward_model, http "
        "and python: give one with --reward (a file.py, an address, a reward model)"
    )
    return Answer("none", "measured" if state.data.format else "assumed", why, sources.OWN)


def _is_own(reward: str) -> bool:
    return reward.endswith(".py") or reward.startswith(_ADDRESS)


def _has_pairs(state: State) -> bool:
    return state.data.format is not None and state.data.format.value == "preference"


def learns_a_reward(state: State) -> bool:
    """Tell whether the reward is a model that the pairs have to teach first."""
    return state.choice("reward") == "model" and state.situation.reward is None


def rewards_of(state: State) -> list[dict[str, Any]]:
    """Return the values of `objective.rewards`; nothing where only a person knows them."""
    named, check = state.situation.reward, state.data.check
    by, format = state.choice("reward"), state.data.format
    if check is not None and check.value.kind == by:
        return [dict(check.value.reward)]
    has_answers = format is not None and format.value != "prompt_only"
    match by:
        case "own" if named is not None and named.value.startswith(_ADDRESS):
            return [{"kind": "http", "url": named.value}]
        case "model" if named is not None and not _is_own(named.value):
            return [{"kind": "reward_model", "model": named.value}]
        case "model" if _has_pairs(state):
            return [{"kind": "reward_model", "model": "stage:reward"}]
        case "answer" | "form" if by == "form" or has_answers:
            return [{"kind": "json" if by == "form" else "exact_match"}]
        case _:
            return []


def extracted(state: State) -> str:
    """Return what of an answer is compared with the row's own; empty where nothing is."""
    check = state.data.check
    if check is None or state.choice("reward") != "answer":
        return ""
    return str(check.value.reward.get("extract", "auto"))


def named_file(state: State) -> str:
    """Return the Python file that a person names as the reward; empty without."""
    named = state.situation.reward
    return named.value if named is not None and named.value.endswith(".py") else ""


# What the model does now, and what the pairs lack


def _solves(state: State) -> Answer:
    source = at(sources.DAPO, "3.2, dynamic sampling")
    kind, parameters = state.model.kind, state.model.parameters
    share = text.percent(signal_share(0.05, GROUPS["grpo"]))
    how_to_know = (
        f"the reward of the first steps says it: at 5 % right, {share} of prompts have answers "
        "that differ, and below that there is next to nothing to learn from"
    )
    if parameters is not None and parameters.value < SMALLEST:
        why = (
            f"{text.count(parameters.value)} parameters solve hardly any worked sum (GSM8K: "
            "SmolLM2-135M-Instruct 1.4 %, 360M 7 %); answer `solves` otherwise for an easier task"
        )
        return Answer("never", "assumed", why, f"the models' cards; {source}")
    if extracted(state) == "after_hashes":
        why = "no model ends its answers in `####` of its own, and others earn nothing"
        return Answer("unformed", "assumed", why, at(sources.R1, "2.3, cold start"))
    if kind is not None and kind.value == "base":
        why = "a base model goes on with text: answers are not in the form that earns a reward"
        return Answer("unformed", kind.how, why, at(sources.R1, "2.3, cold start"))
    why = f"not tried as far as is known, and a chat model of this size mostly does; {how_to_know}"
    return Answer("some", "assumed", why, source)


def _on_policy(state: State) -> Answer:
    why = (
        "DPO first: no reward model, nothing generated, half the models in memory. Yes where the "
        "pairs are not of this model's own answers, or what is wanted is not in them, and DPO "
        "falls short: then a tuned policy gradient goes beyond it"
    )
    source = f"{at(sources.COMPLETE, '8.5')}; {sources.DPO_OR_PPO}"
    if state.situation.reward is not None:
        return Answer("yes", state.situation.reward.how, "you named a reward to optimise", source)
    return Answer("no", "assumed", why, source)


# How answers are compared


def _group(state: State) -> Answer:
    kind = last_of(state.choice("objective"))
    if kind == "rloo":
        why = "RLOO with four answers to each prompt does better than with two"
        return Answer("4", state.how("objective"), why, at(sources.RLOO, "5"))
    why = "trl's default; 64 in the paper: more tell more, and each costs its time"
    return Answer("8", state.how("objective"), why, at(sources.GRPO, "4.2"))


def _kl(state: State) -> Answer:
    kind, how = last_of(state.choice("objective")), state.how("objective", "reward")
    if kind == "ppo":
        why = "to begin with: it adapts, so that answers stay 6 nats away from where they began"
        return Answer("0.2", how, why, at(sources.COMPLETE, "7.4"))
    if kind == "rloo":
        why = "a learned reward is wrong somewhere, and would be found out there without it"
        return Answer("0.05", how, why, "trl's RLOOConfig; arXiv:2210.10760")
    if state.choice("reward") == "answer":
        why = (
            "right is right: with a check of the answer, and an adapter, the model may go where it "
            "has to (the paper took 0.04; Tulu 3 found the rest of its abilities better with some)"
        )
        return Answer("0", how, why, at(sources.DAPO, "2.3"))
    why = "what is rewarded is not all that is wanted: it is held to what it was"
    return Answer("0.04", how, why, at(sources.GRPO, "4.2"))


def _answer_length(state: State) -> Answer:
    known, share = state.data.max_length, state.data.supervised_share
    source, context = sources.OWN, state.model.context
    most = max(LENGTHS) if context is None else context.value // 2
    if state.choice("teaches") == "prompts" or known is None or share is None:
        why = "nothing tells how long answers get; longer ones are cut and earn what is left"
        return Answer(str(min(512, most)), "assumed", why, source)
    longest = known.value * share.value
    works = state.choice("reward") == "answer"
    wanted = longest * (2 if works else 1)
    best = min(LENGTHS, key=lambda length: abs(length - wanted))
    why = (
        f"{'about twice' if works else 'about as long as'} the longest answers of the data "
        f"({round(longest):,} tokens){', for its own working is longer' if works else ''}; how "
        "many are cut is in completions/clipped_ratio"
    )
    how: How = "assumed" if known.how == "assumed" else state.how("teaches", "objective")
    return Answer(str(min(best, most)), how, why, source)


FIRST: Final = (
    Node(
        "reward",
        "objective",
        "What tells a good answer from a bad one?",
        (
            Branch("answer", "the row's own answer: a program compares", "solves"),
            Branch("form", "its form: valid JSON", "solves"),
            Branch("own", "a program or an endpoint of yours", "solves"),
            Branch("model", "a reward model", "teaches"),
            Branch("none", "nothing yet", "teaches"),
        ),
        _reward,
    ),
    Node(
        "solves",
        "objective",
        "Does the model get some of them right already?",
        (
            Branch("unformed", "not in the right form yet", "teaches"),
            Branch("never", "hardly ever, below 5 %", "teaches"),
            Branch("some", "some, not all: 5 % to 95 %", "teaches"),
            Branch("mostly", "nearly all, above 95 %", "teaches"),
        ),
        _solves,
    ),
    Node(
        "on_policy",
        "objective",
        "Is there a reward to optimise beyond what the pairs say?",
        (
            Branch("no", "no: the pairs are what is wanted", "teaches"),
            Branch("yes", "yes: it learns from its own answers, scored", "teaches"),
        ),
        _on_policy,
    ),
)
"""Asked before it is asked what the rows teach."""

AFTER: Final = (
    Node(
        "group",
        "objective",
        "How many answers to each prompt are compared?",
        tuple(Branch(str(n), f"{n} answers", "kl") for n in (2, 4, 8, 16, 32)),
        _group,
        Range(2, 64),
    ),
    Node(
        "kl",
        "objective",
        "How strongly is it held to what it was (KL)?",
        tuple(
            Branch(weight, label, "answer_length")
            for weight, label in (
                ("0", "not at all"),
                ("0.04", "0.04"),
                ("0.05", "0.05"),
                ("0.2", "0.2, adapting"),
            )
        ),
        _kl,
        Range(0, 10, whole=False),
    ),
    Node(
        "answer_length",
        "objective",
        "How long may its answers get?",
        tuple(Branch(str(n), f"{n:,} tokens", "rows") for n in LENGTHS),
        _answer_length,
        Range(8, 1 << 17),
    ),
)
"""Asked once it is known that the model answers."""
