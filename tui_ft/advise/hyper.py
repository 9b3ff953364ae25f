"""Fourth stage: how it is trained, as far as there is something to choose."""

from __future__ import annotations

from typing import Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.node import END, Answer, Branch, Node, Range, Rule, always, by_rules
from tui_ft.advise.objective import FIRST_STAGE
from tui_ft.advise.online import GROUPS, is_online
from tui_ft.advise.plans import FULL_PASS_TOKENS, Plan, plan_of
from tui_ft.advise.situation import How
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.ways import WAYS
from tui_ft.memory.figure import Figure

_RATES = at(sources.EXPERT, "quick reference")
_LARGE_MODEL: Final = 30_000_000_000
_SOME_ROWS: Final = 10_000
_RATE_CHOICES: Final = (
    *("5e-07", "1e-06", "3e-06", "5e-06", "1e-05", "1.4e-05", "2e-05", "5e-05"),
    *("0.0001", "0.0002", "0.0005"),
)
_ONCE: Final = {
    "pretraining": ("running text is read once", at(sources.PART3, "9")),
    "sft_then_grpo": (
        "once is enough for the form; more makes its answers all alike, and GRPO lives on their "
        "differences",
        at(sources.R1, "2.3, cold start"),
    ),
}
_MOST_STEPS: Final = 500
_FEW_HELD_OUT: Final = 50
"""Rows below which nothing is held out: neither part would say anything."""
_FEW_TEXTS: Final = 2_000
"""Texts with a class below which a recipe's epochs are too few steps."""


def _checkpointing(state: State) -> Answer:
    plan = plan_of(state, state.choice("method"))
    source = at(sources.EXPERT, "training with TRL")
    if not isinstance(plan.figure, Figure):
        return Answer("yes", "assumed", "memory is not known: slower by a third, but safe", source)
    tokens = plan.batch * plan.max_length
    if not plan.checkpointing:
        why = f"{plan.batch} rows at once fit without it, and it would cost a third of the speed"
        return Answer("no", state.how("method"), why, source)
    rows = "one row does" if plan.batch == 1 else f"{plan.batch} rows do"
    why = (
        f"without it no batch fits that keeps the GPU busy (about {FULL_PASS_TOKENS:,} tokens); "
        f"with it {rows}, {tokens:,} tokens"
    )
    return Answer("yes", state.how("method"), why, source)


def _batch(state: State) -> Answer:
    plan = final_plan(state, batch_too=False)
    source = at(sources.PART3, "9")
    if not isinstance(plan.figure, Figure):
        return Answer("1", "assumed", "memory is not known; one row is the safest", source)
    if plan.fit != "fits":
        return Answer(str(plan.batch), state.how("method"), "not even one row surely fits", source)
    passes = "one pass makes" if plan.accumulation == 1 else f"{plan.accumulation} passes make"
    if plan.gpus > 1:
        passes = f"on {plan.gpus} GPUs {passes}"
    why = (
        f"the most that fit in {text.memory(plan.free)} ({text.memory(plan.figure.high)} at most); "
        f"{passes} a step of {plan.batch * plan.accumulation * plan.gpus}"
    )
    return Answer(str(plan.batch), state.how("method"), why, source)


def final_plan(state: State, *, batch_too: bool = True) -> Plan:
    """Return the plan of the way that was chosen, with what a person set about it."""
    forced = state.overrides.get("checkpointing")
    batch = state.overrides.get("batch") if batch_too else None
    return plan_of(
        state,
        state.choice("method"),
        checkpointing=None if forced is None else forced == "yes",
        batch=None if batch is None else int(batch),
    )


def _trains_all(state: State) -> bool:
    return WAYS[state.choice("method")].kind == "full"


def _prefers(state: State) -> bool:
    return state.choice("objective") in ("dpo", "kto", "orpo")


def _answers(state: State) -> bool:
    return is_online(state.choice("objective"))


def _is_large(state: State) -> bool:
    parameters = state.model.parameters
    return parameters is not None and parameters.value >= _LARGE_MODEL


_RATE_RULES: Final = (
    Rule(
        lambda state: state.choice("objective") == "ppo" and _trains_all(state),
        "3e-06",
        "all weights by PPO: 3e-6 where its details were studied, and in trl's examples while it "
        "had PPO (Complete Guide 7.4: 1.41e-5)",
        f"{sources.PPO_DETAILS}, and its code; trl's examples/scripts/ppo",
    ),
    Rule(
        lambda state: state.choice("objective") == "rloo" and _trains_all(state),
        "1e-06",
        "all weights, by a noisy signal: 1e-6 is trl's default",
        "trl's RLOOConfig",
    ),
    Rule(
        lambda state: _answers(state) and _trains_all(state),
        "1e-06",
        "all weights, by a noisy signal: 1e-6 in the paper",
        at(sources.GRPO, "4.2"),
    ),
    Rule(
        lambda state: state.choice("objective") == "ppo",
        "1.4e-05",
        "1.41e-5 in the recipe of PPO",
        at(sources.COMPLETE, "7.4"),
    ),
    Rule(
        _answers,
        "1e-05",
        "an adapter takes ten times what all weights take (1e-6 in the paper)",
        f"{sources.NO_REGRET}; {sources.GRPO}",
    ),
    Rule(
        lambda state: FIRST_STAGE.get(state.choice("objective")) == "reward",
        "1e-05",
        "1e-5 for a reward model: its scores are spoiled by large steps",
        at(sources.COMPLETE, "7.3"),
    ),
    Rule(
        lambda state: _prefers(state) and _trains_all(state),
        "5e-07",
        "gentle nudges: 5e-7 to 1e-6 for all weights",
        _RATES,
    ),
    Rule(
        _prefers,
        "5e-06",
        "the guides disagree with LoRA: 5e-7 (Ops Guide 4, Complete Guide 8.4), 5e-5 (Part 3, 7); "
        "followed is a published recipe between them",
        sources.HANDBOOK,
    ),
    Rule(
        lambda state: _trains_all(state) and state.choice("rows") == "few",
        "1e-05",
        "few rows: the lower end, against forgetting",
        at(sources.COMPLETE, "2.4"),
    ),
    Rule(_trains_all, "2e-05", "all weights: 1e-5 to 5e-5", _RATES),
    Rule(
        lambda state: WAYS[state.choice("method")].kind == "prompt_tuning",
        "0.03",
        "few learned values take large steps: 0.3 with Adafactor in the paper, 0.03 with AdamW",
        "prompt tuning, arXiv:2104.08691",
    ),
    Rule(
        _is_large,
        "0.0001",
        "large models take half: QLoRA's authors took 2e-4 to 13B, 1e-4 for 33B and 65B",
        f"{sources.QLORA}, table 9",
    ),
    Rule(
        always, "0.0002", "adapters: 1e-4 to 2e-4; 2e-4 in the recipes of all five guides", _RATES
    ),
)


def _epochs(state: State) -> Answer:
    objective, rows = state.choice("objective"), state.choice("rows")
    how = state.how("rows", "objective")
    if is_online(objective):
        return _epochs_of_answers(state)
    if objective.startswith(("reward", "dpo", "kto", "orpo")):
        return _epochs_of_pairs(objective, how, few=rows == "few")
    once = _ONCE.get(objective)
    if once is None and rows == "many":
        once = ("more data, fewer epochs", at(sources.PART3, "9"))
    if once is not None:
        return Answer("1", how, *once)
    if objective == "classification" and (state.rows or _FEW_TEXTS) < _FEW_TEXTS:
        why = "few texts: three are too few steps for a head that begins at random; it stops early"
        return Answer("10", how, why, sources.FEW_TEXTS)
    if (state.rows or 0) > _SOME_ROWS:
        return Answer("2", how, "three are for some thousand rows", at(sources.PART3, "9"))
    why = "three in every guide's recipe; early stopping ends it when held-out rows get worse"
    return Answer("3", how, why, at(sources.COMPLETE, "10.1"))


def _epochs_of_pairs(objective: str, how: How, *, few: bool) -> Answer:
    if objective.startswith("reward"):
        why = "a reward model overfits in the second: one in the recipe"
        return Answer("1", how, why, f"{at(sources.COMPLETE, '7.3')}; {sources.INSTRUCT}")
    if few:
        why = "few pairs: one is a few dozen steps at a low rate, which change nothing"
        return Answer("3", how, why, at(sources.COMPLETE, "8.4"))
    why = "preference tuning overfits quickly: one is often enough (Complete Guide 8.4: 3)"
    return Answer("1", how, why, at(sources.EXPERT, "SFT vs DPO vs RLHF"))


def _epochs_of_answers(state: State) -> Answer:
    """Return how much of the prompts some hundred steps take, and no more than all of them."""
    rows, how = state.rows, state.how("rows", "objective")
    group = int(state.choice("group")) if state.choice("objective") in GROUPS else 1
    each_step = int(state.choice("effective_batch")) / group
    share = 1.0 if not rows else min(1.0, _MOST_STEPS * each_step / rows)
    if share == 1.0:
        return Answer("1", how, "each prompt once, answered several times", sources.OWN)
    share = max(0.01, round(share, 2))
    why = (
        f"{_MOST_STEPS} steps at most, {text.percent(share)} of the prompts: enough to see whether "
        "the reward rises, and each costs its answers; raise it when it still does at the end"
    )
    return Answer(f"{share:g}", how, why, sources.OWN)


def _evaluation(state: State) -> Answer:
    rows, source = state.rows, at(sources.EXPERT, "dataset preparation: 90/10")
    if state.data.eval:
        why = "evaluation data of their own: nothing is taken from training"
        return Answer("file", "asked", why, at(sources.OPS, "best practices"))
    if rows is None:
        return Answer("twentieth", "assumed", "rows are not known", at(sources.COMPLETE, "10.1"))
    if rows < _FEW_HELD_OUT:
        why = "a tenth of so few rows says nothing, and the rest needs them"
        return Answer("none", "measured", why, sources.OWN)
    if rows < _SOME_ROWS:
        return Answer(
            "tenth", "measured", f"of {rows:,} rows a tenth is needed to say much", source
        )
    why = "a twentieth is enough of many rows; at most 512 are looked at"
    return Answer("twentieth", "measured", why, at(sources.COMPLETE, "10.1: 5 % of 18,000 rows"))


def _early_stopping(state: State) -> Answer:
    how: How = state.how("evaluation", "epochs")
    source = at(sources.COMPLETE, "10.1: patience 3")
    if state.choice("evaluation") == "none":
        return Answer("no", how, "nothing is held out to tell by", source)
    if is_online(state.choice("objective")):
        why = "what is held out shows the reward; the last checkpoint is as good as any"
        return Answer("no", how, why, sources.OWN)
    if float(state.choice("epochs")) <= 1:
        why = "every row is seen once: nothing can be learned by heart"
        return Answer("no", how, why, at(sources.EXPERT, "anti-patterns"))
    why = "after three evaluations without a lower loss; the best checkpoint is kept"
    return Answer("yes", how, why, source)


NODES: Final = (
    Node(
        "checkpointing",
        "hyper-parameters",
        "Is memory so short that activations are computed twice?",
        (
            Branch("no", "no", "batch"),
            Branch("yes", "yes: gradient checkpointing", "batch"),
        ),
        _checkpointing,
    ),
    Node(
        "batch",
        "hyper-parameters",
        "How many rows go through at once?",
        tuple(Branch(str(n), f"{n} rows", "learning_rate") for n in (1, 2, 4, 8, 16, 32, 64)),
        _batch,
        Range(1, 4096),
    ),
    Node(
        "learning_rate",
        "hyper-parameters",
        "How large are the steps?",
        tuple(Branch(rate, rate, "epochs") for rate in _RATE_CHOICES),
        by_rules(_RATE_RULES, "objective", "method"),
        Range(1e-9, 0.5, whole=False),
    ),
    Node(
        "epochs",
        "hyper-parameters",
        "How often is every row seen?",
        tuple(Branch(str(n), f"{n} times", "evaluation") for n in (1, 2, 3, 5)),
        _epochs,
        Range(0.01, 100, whole=False),
    ),
    Node(
        "evaluation",
        "hyper-parameters",
        "What is held out, to see overfitting by?",
        (
            Branch("tenth", "a tenth of the rows", "early_stopping"),
            Branch("twentieth", "a twentieth of the rows", "early_stopping"),
            Branch("file", "evaluation data of their own", "early_stopping"),
            Branch("none", "nothing", "early_stopping"),
        ),
        _evaluation,
    ),
    Node(
        "early_stopping",
        "hyper-parameters",
        "Does it stop when held-out rows get worse?",
        (
            Branch("yes", "yes, after three evaluations", END),
            Branch("no", "no", END),
        ),
        _early_stopping,
    ),
)
