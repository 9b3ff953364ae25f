"""What people do wrong, recognised before it is done: the anti-patterns of the field's guides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tui_ft import text
from tui_ft.advise import sources
from tui_ft.advise.advice import Caution
from tui_ft.advise.approach import ENOUGH_ROWS
from tui_ft.advise.candidates import Plan, longest_option
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.ways import WAYS

_Check = Callable[[State, Plan | None], Caution | None]

_ANTI: Final = at(sources.EXPERT, "anti-patterns")
_GENERATED: Final = 0.01
_DUPLICATES: Final = 0.05
_STYLE_RANK: Final = 16
_SMALL_FOR_CPU: Final = 1_000_000_000
_ROWS_FOR_ALL_WEIGHTS: Final = 10_000
_MANY_CUT: Final = 0.05
_ROWS_FOR_BASE: Final = 10_000


def cautions_of(state: State, plan: Plan | None) -> tuple[Caution, ...]:
    """Return what to beware of on a path that trains, worst first.

    Args:
        state: the path, walked to its end.
        plan: of the way that was chosen; None where none was.
    """
    found = [caution for check in _CHECKS if (caution := check(state, plan)) is not None]
    order = {"bad": 0, "warning": 1, "note": 2}
    return tuple(sorted(found, key=lambda caution: order[caution.severity]))


def _knowledge(state: State, _plan: Plan | None) -> Caution | None:
    if state.choice("goal") != "knowledge":
        return None
    return Caution(
        id="knowledge-injection",
        severity="bad",
        text=(
            "facts are not learned reliably by fine-tuning: the model will answer confidently and "
            "wrongly at their edges. Retrieval (RAG) is for facts"
        ),
        source=_ANTI,
    )


def _dpo_first(state: State, _plan: Plan | None) -> Caution | None:
    if state.choice("objective") not in ("dpo", "kto") or state.choice("model_kind") != "base":
        return None
    return Caution(
        id="dpo-without-sft",
        severity="bad",
        text=(
            "preference tuning a base model rarely works: it prefers between answers that it "
            "cannot give yet. SFT first"
        ),
        source=_ANTI,
    )


def _filtering(state: State, _plan: Plan | None) -> Caution | None:
    duplicates = state.data.duplicates
    share = 0.0 if duplicates is None else duplicates.value
    quality = state.passed("quality")
    if quality not in ("mend", "poor") and share < _DUPLICATES:
        return None
    faults = f" ({', '.join(state.data.faults)})" if state.data.faults else ""
    twice = f", {text.percent(share)} duplicates" if share >= _DUPLICATES else ""
    return Caution(
        id="no-filtering",
        severity="bad" if quality == "poor" else "warning",
        text=(
            f"the rows want cleaning{faults}{twice}: 5,000 curated rows beat 500,000 scraped "
            "ones. `ftui clean` drops or mends them"
        ),
        source=_ANTI,
    )


def _generated(state: State, _plan: Plan | None) -> Caution | None:
    share = state.data.model_generated
    if share is None or share.value < _GENERATED:
        return None
    return Caution(
        id="model-generated",
        severity="warning",
        text=(
            f"in {text.percent(share.value)} of the rows a model speaks of itself: rows that a "
            "model wrote carry its habits over, degrade the next one, and may break its terms of "
            "use. Look through them, and prefer what people wrote or checked"
        ),
        source=_ANTI,
    )


def _held_out(state: State, _plan: Plan | None) -> Caution | None:
    if state.passed("evaluation") != "none":
        return None
    return Caution(
        id="training-loss-only",
        severity="warning",
        text=(
            "nothing is held out: overfitting is invisible when only the training loss is "
            "watched. Give an evaluation file (data.eval)"
        ),
        source=_ANTI,
    )


def _merging(_state: State, plan: Plan | None) -> Caution | None:
    if plan is None or WAYS[plan.way].kind != "qlora":
        return None
    return Caution(
        id="quantise-after-merge",
        severity="note",
        text=(
            "for deployment merge the adapter into the base in 16 bits, not into the 4-bit one, "
            "and quantise what came out (GGUF, GPTQ, AWQ): in that order"
        ),
        source=_ANTI,
    )


def _rank(state: State, plan: Plan | None) -> Caution | None:
    rank = state.passed("rank")
    if rank is None or plan is None or state.choice("goal") != "style":
        return None
    if int(rank) <= _STYLE_RANK:
        return None
    return Caution(
        id="rank-for-style",
        severity="warning",
        text=(
            f"rank {rank} for a style: 8 is enough for how a model answers, and more learns the "
            "rows by heart"
        ),
        source=at(sources.EXPERT, "quick reference"),
    )


def _few(state: State, _plan: Plan | None) -> Caution | None:
    if state.passed("examples") != "few":
        return None
    goal = state.choice("goal")
    rows = 0 if state.rows is None else state.rows
    return Caution(
        id="few-rows",
        severity="warning",
        text=(
            f"{rows:,} rows, where {ENOUGH_ROWS[goal]:,} and more are asked for: expect a small "
            "effect, watch the held-out loss, and compare with examples in the prompt"
        ),
        source=at(sources.EXPERT, "dataset size heuristics"),
    )


def _base_model(state: State, _plan: Plan | None) -> Caution | None:
    few = state.rows is not None and state.rows < _ROWS_FOR_BASE
    if state.choice("model_kind") != "base" or state.choice("objective") == "pretraining":
        return None
    if state.choice("goal") not in ("instruction", "style", "preference") or not few:
        return None
    return Caution(
        id="base-model",
        severity="note",
        text=(
            "its family's chat model has learned from far more such rows than these: fine-tune "
            "that one, unless its manner is what you want to be rid of"
        ),
        source=sources.OWN,
    )


def _compare(state: State, _plan: Plan | None) -> Caution | None:
    if state.choice("model_kind") != "chat" or state.choice("objective") != "sft":
        return None
    if state.choice("goal") not in ("domain", "instruction", "classification"):
        return None
    return Caution(
        id="compare-before",
        severity="note",
        text=(
            "a chat model may do this already, and has learned from better answers than terse "
            "ones: grade it on held-out rows before and after (evaluation.score); learning short "
            "answers can take away what it could"
        ),
        source=at(sources.PART3, "10, baseline performance"),
    )


def _language(state: State, _plan: Plan | None) -> Caution | None:
    if state.choice("goal") != "language" or state.passed("corpus") != "none":
        return None
    return Caution(
        id="language-without-text",
        severity="bad",
        text=(
            "a language is learned from running text: rows of answers teach how to answer in a "
            "language that the model knows already"
        ),
        source=at(sources.LESSON, "when to use each approach"),
    )


def _pairs(state: State, _plan: Plan | None) -> Caution | None:
    if state.choice("goal") != "preference" or state.choice("teaches") != "answers":
        return None
    return Caution(
        id="no-pairs",
        severity="warning",
        text=(
            "the rows are answers, not pairs: this is supervised fine-tuning. For preferences "
            "collect 1,000 to 10,000 pairs, of answers of the model that comes out of it"
        ),
        source=at(sources.EXPERT, "dataset size heuristics"),
    )


def _forgetting(state: State, plan: Plan | None) -> Caution | None:
    if plan is None or WAYS[plan.way].kind != "full" or state.choice("model_kind") == "encoder":
        return None
    if state.rows is None or state.rows >= _ROWS_FOR_ALL_WEIGHTS:
        return None
    return Caution(
        id="forgetting",
        severity="warning",
        text=(
            f"all weights on {state.rows:,} rows: general abilities may be lost. A low rate, few "
            "epochs and early stopping help; LoRA helps more"
        ),
        source=at(sources.PART3, "2, catastrophic forgetting"),
    )


def _memory(_state: State, plan: Plan | None) -> Caution | None:
    if plan is None or plan.way == "smaller" or plan.fit == "fits":
        return None
    if plan.fit == "unknown":
        return Caution(
            id="memory-unknown",
            severity="warning",
            text="what it takes of memory is not known: watch the first steps",
        )
    sure = plan.fit == "no"
    return Caution(
        id="out-of-memory",
        severity="bad" if sure else "warning",
        text=f"it {'will' if sure else 'may'} run out of memory: choose another way, or free some",
    )


def _cpu(state: State, _plan: Plan | None) -> Caution | None:
    parameters = state.model.parameters
    if state.passed("gpus") != "none" or parameters is None or parameters.value < _SMALL_FOR_CPU:
        return None
    return Caution(
        id="cpu-slow",
        severity="bad",
        text=(
            f"{text.count(parameters.value)} parameters on a CPU: days for what a GPU does in "
            "minutes. Take a model of some hundred million, or a GPU"
        ),
    )


def _cut(state: State, plan: Plan | None) -> Caution | None:
    option = None if plan is None else longest_option(state.data, plan.max_length)
    if plan is None or option is None or option.rows_cut < _MANY_CUT:
        return None
    return Caution(
        id="rows-cut",
        severity="warning",
        text=(
            f"{text.percent(option.rows_cut)} of rows lose their end at {plan.max_length:,} "
            "tokens, and with it the end of the answer: split or shorten them"
        ),
    )


_CHECKS: Final[tuple[_Check, ...]] = (
    _knowledge,
    _dpo_first,
    _filtering,
    _generated,
    _held_out,
    _merging,
    _rank,
    _few,
    _base_model,
    _compare,
    _language,
    _pairs,
    _forgetting,
    _memory,
    _cpu,
    _cut,
)
