"""What people do wrong, recognised before it is done: the anti-patterns of the field's guides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tui_ft import text
from tui_ft.advise import online_cautions as online
from tui_ft.advise import sources
from tui_ft.advise.advice import Caution, Phase
from tui_ft.advise.approach import ENOUGH_ROWS
from tui_ft.advise.candidates import in_host
from tui_ft.advise.online import is_online
from tui_ft.advise.plans import Plan, longest_option
from tui_ft.advise.sources import at
from tui_ft.advise.state import State
from tui_ft.advise.ways import WAYS
from tui_ft.memory.figure import Figure

_GENERATED: Final = 0.01
_DUPLICATES: Final = 0.05
_STYLE_RANK: Final = 16
_SMALL_FOR_CPU: Final = 1_000_000_000
_ROWS_FOR_ALL_WEIGHTS: Final = 10_000
_MANY_CUT: Final = 0.05
_THIN: Final = 0.03
_ROWS_FOR_BASE: Final = 10_000
_MAINLY: Final = 0.5
_LISTED: Final = (
    (re.compile(r"llama-3\.[1-3]", re.I), ("en", "de", "fr", "it", "pt", "hi", "es", "th")),
    (re.compile(r"smollm2?-", re.I), ("en",)),
)
"""The languages (ISO 639-1) that a model's card lists, where it lists few."""


@dataclass(frozen=True, slots=True)
class _Check:
    """Something to beware of: `said` returns what to say of a path, None where it does not hold."""

    id: str
    severity: Literal["bad", "warning", "note"]
    said: Callable[[State, Plan], str | None]
    source: str = ""


def cautions_of(state: State, plan: Plan) -> tuple[Caution, ...]:
    """Return what to beware of on a path that trains, worst first.

    Args:
        state: the path, walked to its end.
        plan: of the way that was chosen.
    """
    found = [
        Caution(id=check.id, severity=check.severity, text=said, source=check.source)
        for check in _CHECKS
        if (said := check.said(state, plan)) is not None
    ]
    return tuple(found)


def later_cautions(phases: Sequence[Phase]) -> tuple[Caution, ...]:
    """Return what to beware of in the stages after the first."""
    return tuple(
        Caution(
            id="out-of-memory",
            severity="bad" if phase.fit == "no" else "warning",
            text=f"the stage {phase.objective} may run out of memory: {text.memory(phase.high)} at "
            f"most of {text.memory(phase.free)} free",
        )
        for phase in phases[1:]
        if phase.fit in ("tight", "no") and phase.high is not None
    )


def _knowledge(state: State, _plan: Plan) -> str | None:
    if state.choice("goal") != "knowledge":
        return None
    return (
        "facts are not learned reliably by fine-tuning: the model will answer confidently and "
        "wrongly at their edges. Retrieval (RAG) is for facts"
    )


def _untried(state: State, _plan: Plan) -> str | None:
    prompt = state.answers.get("prompt")
    if prompt is None or prompt.how != "assumed" or state.choice("model_kind") != "chat":
        return None
    return (
        "nobody said that a prompt was tried: it is free and takes minutes, and what it achieves "
        "is what training has to beat"
    )


def _dpo_first(state: State, _plan: Plan) -> str | None:
    if state.choice("objective") not in ("dpo", "kto") or state.choice("model_kind") != "base":
        return None
    return (
        "preference tuning a base model rarely works: it prefers between answers that it cannot "
        "give yet. SFT first"
    )


def _language(state: State, _plan: Plan) -> str | None:
    if state.choice("goal") != "language" or state.passed("corpus") != "none":
        return None
    return (
        "a language is learned from running text: rows of answers teach how to answer in a "
        "language that the model knows already"
    )


def _poor(state: State, _plan: Plan) -> str | None:
    return _cleaning(state) if state.passed("quality") == "poor" else None


def _unfiltered(state: State, _plan: Plan) -> str | None:
    some = state.passed("quality") == "mend" or _duplicates(state) >= _DUPLICATES
    return _cleaning(state) if some and state.passed("quality") != "poor" else None


def _duplicates(state: State) -> float:
    return 0.0 if state.data.duplicates is None else state.data.duplicates.value


def _cleaning(state: State) -> str:
    faults = f" ({', '.join(state.data.faults)})" if state.data.faults else ""
    share = _duplicates(state)
    twice = f", {text.percent(share)} duplicates" if share >= _DUPLICATES else ""
    return (
        f"the rows want cleaning{faults}{twice}: 5,000 curated rows beat 500,000 scraped ones. "
        "`ftui clean` drops or mends them"
    )


def _generated(state: State, _plan: Plan) -> str | None:
    share = state.data.model_generated
    if share is None or share.value < _GENERATED:
        return None
    return (
        f"in {text.percent(share.value)} of the rows a model speaks of itself: rows that a model "
        "wrote carry its habits over, degrade the next one, and may break its terms of use. Look "
        "through them, and prefer what people wrote or checked"
    )


def _held_out(state: State, _plan: Plan) -> str | None:
    held_out = state.passed("evaluation")
    if held_out != "none" and not (held_out == "file" and not state.data.eval):
        return None
    return (
        "nothing is held out: overfitting is invisible when only the training loss is watched. "
        "Give an evaluation file (data.eval)"
    )


def _merging(_state: State, plan: Plan) -> str | None:
    if WAYS[plan.way].kind != "qlora":
        return None
    return (
        "for deployment merge the adapter into the base in 16 bits, not into the 4-bit one, and "
        "quantise what came out (GGUF, GPTQ, AWQ): in that order"
    )


def _rank(state: State, _plan: Plan) -> str | None:
    rank = state.passed("rank")
    if rank is None or state.choice("goal") != "style" or int(rank) <= _STYLE_RANK:
        return None
    return (
        f"rank {rank} for a style: 8 is enough for how a model answers, and more learns the rows "
        "by heart"
    )


def _few(state: State, _plan: Plan) -> str | None:
    if state.passed("examples") != "few":
        return None
    watched = "reward" if is_online(state.choice("objective")) else "loss"
    return (
        f"{state.rows or 0:,} rows, where {ENOUGH_ROWS[state.choice('goal')]:,} and more are asked "
        f"for: expect a small effect, watch the held-out {watched}, and compare with examples in "
        "the prompt"
    )


def _foreign(state: State, _plan: Plan) -> str | None:
    languages = state.data.languages
    known = next((said for name, said in _LISTED if name.search(state.model.name)), None)
    if languages is None or known is None or state.choice("goal") == "language":
        return None
    main, share = max(languages.value.items(), key=lambda item: item[1], default=("", 0.0))
    if share < _MAINLY or main in (*known, "unknown"):
        return None
    return (
        f"most rows are in `{main}`, which the model's card does not list ({', '.join(known)}): it "
        "writes it worse, with more tokens to a word. A model that lists it is the better beginning"
    )


def _head(state: State, _plan: Plan) -> str | None:
    if state.passed("teaches") != "labels" or state.choice("objective") != "sft":
        return None
    return (
        "a class can also be told by a head over the classes (--answer objective=classification): "
        "one forward pass, a score for each class, and no other answer possible; an encoder of "
        "some hundred million parameters often does as well"
    )


def _base_model(state: State, _plan: Plan) -> str | None:
    few = state.rows is not None and state.rows < _ROWS_FOR_BASE
    if state.choice("model_kind") != "base" or state.choice("objective") == "pretraining":
        return None
    if state.choice("goal") not in ("instruction", "style", "preference") or not few:
        return None
    return (
        "its family's chat model has learned from far more such rows than these: fine-tune that "
        "one, unless its manner is what you want to be rid of"
    )


def _compare(state: State, _plan: Plan) -> str | None:
    if state.choice("model_kind") != "chat" or state.choice("objective") != "sft":
        return None
    if state.choice("goal") not in ("domain", "instruction", "classification"):
        return None
    return (
        "a chat model may do this already, and has learned from better answers than terse ones: "
        "grade it on held-out rows before and after (evaluation.score); learning short answers "
        "can take away what it could"
    )


def _pairs(state: State, _plan: Plan) -> str | None:
    if state.choice("goal") != "preference" or state.choice("teaches") != "answers":
        return None
    if state.choice("approach") == "rl":  # a reward that was named stands for the pairs
        return None
    return (
        "the rows are answers, not pairs: this is supervised fine-tuning. For preferences collect "
        "1,000 to 10,000 pairs, of answers of the model that comes out of it"
    )


def _forgetting(state: State, plan: Plan) -> str | None:
    if WAYS[plan.way].kind != "full" or state.choice("model_kind") == "encoder":
        return None
    if state.rows is None or state.rows >= _ROWS_FOR_ALL_WEIGHTS:
        return None
    return (
        f"all weights on {state.rows:,} rows: general abilities may be lost. A low rate, few "
        "epochs and early stopping help; LoRA helps more"
    )


def _will_run_out(_state: State, plan: Plan) -> str | None:
    if plan.way == "smaller" or plan.fit != "no":
        return None
    return "it will run out of memory: choose another way, or free some"


def _may_run_out(_state: State, plan: Plan) -> str | None:
    if plan.way == "smaller" or plan.fit != "tight" or plan.fits_gpus:
        return None
    return "it may run out of memory: shorten max_length, free some, or watch the first steps"


def _offloads(_state: State, plan: Plan) -> str | None:
    if not plan.host or not plan.fits_gpus:
        return None
    said = f"it takes {in_host(plan)}, pinned: it cannot be swapped out"
    if WAYS[plan.way].sharding == "zero3":
        said += "; DeepSpeed has to be installed, with a compiler for its step on the processors"
    return said


def _thin(_state: State, plan: Plan) -> str | None:
    if plan.fit != "fits" or plan.free is None or not isinstance(plan.figure, Figure):
        return None
    left = plan.free - plan.figure.high
    if left >= _THIN * plan.free:
        return None
    return (
        f"only {text.memory(left)} are left at worst: a display or another program on this GPU "
        "would end the run"
    )


def _unknown(_state: State, plan: Plan) -> str | None:
    if plan.way == "smaller" or plan.fit != "unknown":
        return None
    return "what it takes of memory is not known: watch the first steps"


def _cpu(state: State, _plan: Plan) -> str | None:
    parameters = state.model.parameters
    if state.passed("gpus") != "none" or parameters is None or parameters.value < _SMALL_FOR_CPU:
        return None
    return (
        f"{text.count(parameters.value)} parameters on a CPU: days for what a GPU does in "
        "minutes. Take a model of some hundred million, or a GPU"
    )


def _cut(state: State, plan: Plan) -> str | None:
    option = longest_option(state.data, plan.max_length)
    if option is None or option.rows_cut < _MANY_CUT:
        return None
    return (
        f"{text.percent(option.rows_cut)} of rows lose their end at {plan.max_length:,} tokens, "
        "and with it the end of the answer: split or shorten them"
    )


_ANTI: Final = at(sources.EXPERT, "anti-patterns")
_SIZES: Final = at(sources.EXPERT, "dataset size heuristics")

_CHECKS: Final = (
    _Check("knowledge-injection", "bad", _knowledge, _ANTI),
    _Check("dpo-without-sft", "bad", _dpo_first, _ANTI),
    _Check("reward-to-fill-in", "bad", online.to_fill_in, sources.RLVR),
    _Check("rl-before-sft", "bad", online.before_sft, at(sources.R1, "2.3, cold start")),
    _Check("reward-without-variance", "bad", online.without_variance, at(sources.DAPO, "3.2")),
    _Check("language-without-text", "bad", _language, at(sources.LESSON, "when to use each")),
    _Check("no-filtering", "bad", _poor, _ANTI),
    _Check("out-of-memory", "bad", _will_run_out),
    _Check("cpu-slow", "bad", _cpu),
    _Check("reward-of-one-form", "warning", online.strict_form, sources.OWN),
    _Check("few-answers-a-gpu", "warning", online.few_on_each, sources.OWN),
    _Check("rewards-too-rare", "warning", online.too_rare, at(sources.DAPO, "3.2")),
    _Check("long-step", "warning", online.long_step, sources.OWN),
    _Check("kl-off", "warning", online.kl_off, sources.OVEROPTIMISED),
    _Check("small-group", "warning", online.small_group, at(sources.GRPO, "4.2")),
    _Check("reward-by-length", "warning", online.by_length, sources.LENGTHS),
    _Check("reward-hackable", "warning", online.hackable, sources.RLVR),
    _Check("few-pairs-for-a-reward", "warning", online.few_pairs, sources.OVEROPTIMISED),
    _Check("no-filtering", "warning", _unfiltered, _ANTI),
    _Check("model-generated", "warning", _generated, _ANTI),
    _Check("training-loss-only", "warning", _held_out, _ANTI),
    _Check("rank-for-style", "warning", _rank, at(sources.EXPERT, "quick reference")),
    _Check("few-rows", "warning", _few, _SIZES),
    _Check("no-pairs", "warning", _pairs, _SIZES),
    _Check("forgetting", "warning", _forgetting, at(sources.PART3, "2, catastrophic forgetting")),
    _Check("out-of-memory", "warning", _may_run_out),
    _Check("host-memory", "warning", _offloads, sources.OFFLOAD),
    _Check("thin-margin", "warning", _thin),
    _Check("memory-unknown", "warning", _unknown),
    _Check("rows-cut", "warning", _cut),
    _Check("language-not-listed", "warning", _foreign, "the models' cards"),
    _Check("classification-head", "note", _head, at(sources.PART3, "2")),
    _Check("base-model", "note", _base_model, sources.OWN),
    _Check("compare-before", "note", _compare, at(sources.PART3, "10, baseline performance")),
    _Check("answers-checkable", "note", online.checkable, sources.RLVR),
    _Check("generating-takes-long", "note", online.takes_long, sources.OWN),
    _Check("prompt-untried", "note", _untried, at(sources.EXPERT, "core mental model")),
    _Check("quantise-after-merge", "note", _merging, _ANTI),
)
"""In the order in which they are said: worst first."""
