"""First stage: is fine-tuning the answer at all?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, get_args

from tui_ft.advise import sources
from tui_ft.advise.approaches import APPROACHES
from tui_ft.advise.node import END, Answer, Branch, Node, Rule, always, both, by_rules, passed
from tui_ft.advise.situation import Goal, How
from tui_ft.advise.sources import at
from tui_ft.advise.state import State

_TREE = at(sources.OPS, "decision tree")
_FRAMEWORK = at(sources.EXPERT, "decision framework")
_SIZES = at(sources.EXPERT, "dataset size heuristics")

LEAST_ROWS: Final = {
    "style": 500,
    "instruction": 1_000,
    "domain": 1_000,
    "classification": 500,
    "preference": 100,
    "reasoning": 100,
    "language": 1_000,
    "knowledge": 500,
}
"""Rows below which examples in the prompt do better, by goal."""
ENOUGH_ROWS: Final = {
    "style": 500,
    "instruction": 1_000,
    "domain": 5_000,
    "classification": 1_000,
    "preference": 1_000,
    "reasoning": 1_000,
    "language": 10_000,
    "knowledge": 5_000,
}
"""Rows that the guides ask for, by goal."""
_ABOUT: Final = 0.9  # a guide's thousand is no exact figure
_GOOD_QUALITY: Final = 70
_POOR_QUALITY: Final = 45
_CORPUS_TOKENS: Final = 1_000_000_000
"""Tokens for which weeks of training are worth while; continued pretraining begins far below."""

_GOAL_LABELS: Final = {
    "knowledge": "it should know facts that it does not know",
    "style": "it should answer in another style, format, tone or structure",
    "instruction": "it should follow instructions (better)",
    "domain": "it should use a domain's jargon and reason as the domain does",
    "language": "it should learn a new language",
    "classification": "it should tell classes apart",
    "preference": "it should prefer the better of two good answers",
    "reasoning": "it should come to right answers, which a program can check",
}
_ASSUMED_GOALS: Final = {
    "preference": ("preference", "pairs of a better and a worse answer are made for alignment"),
    "kto": ("preference", "answers judged good or bad are made for alignment"),
    "prompt_only": ("preference", "prompts without answers are learned from by a reward"),
    "text_label": ("classification", "the rows are texts with a class"),
    "text": ("domain", "the rows are plain text, which adapts a model to a domain"),
}
_LONG_EXAMPLE: Final = 4_000
"""Tokens of a row from which a handful of them is no prompt any more."""


def is_at_least(rows: int, guide: int) -> bool:
    """Tell whether rows are as many as a guide asks for, which is never meant to the row."""
    return rows >= guide * _ABOUT


def _goal(state: State) -> Answer:
    known = state.situation.goal
    if known is not None:
        return Answer(known.value, known.how, known.note or "as you said")
    check = state.data.check
    if check is not None and check.value.marked and check.value.reward:
        return Answer("reasoning", "assumed", check.value.what, sources.RLVR)
    format = state.data.format.value if state.data.format is not None else ""
    if format in _ASSUMED_GOALS:
        goal, why = _ASSUMED_GOALS[format]
        return Answer(goal, "assumed", why, at(sources.EXPERT, "SFT vs DPO vs RLHF"))
    kind = state.model.kind
    if kind is not None and kind.value == "base":
        why = "a base model does not follow instructions, and rows of answers teach it to"
        return Answer("instruction", "assumed", why, at(sources.COMPLETE, "1.1"))
    why = "rows of answers teach a chat model how to answer; what it knows, it keeps"
    return Answer("style", "assumed", why, at(sources.EXPERT, "core mental model"))


def _freshness(state: State) -> Answer:
    known = state.situation.facts_change
    source = at(sources.EXPERT, "anti-patterns")
    if known is None:
        return Answer("often", "assumed", "most facts worth asking for change", source)
    choice = "often" if known.value == "often" else "rarely"
    return Answer(choice, known.how, known.note or "as you said", source)


def _facts(state: State) -> Answer:
    known = state.situation.facts_change
    if known is not None:
        return Answer(known.value, known.how, known.note or "as you said", _FRAMEWORK)
    if "text" in _format(state):
        why = "plain text is learned as it is; nobody asked for documents to look up"
        return Answer("none", "assumed", why, _FRAMEWORK)
    why = "most domains have documents that answers should rest on; `none` if yours has not"
    return Answer("rarely", "assumed", why, _FRAMEWORK)


def _format(state: State) -> tuple[str, ...]:
    return () if state.data.format is None else (state.data.format.value,)


def _prompt(state: State) -> Answer:
    known = state.situation.prompt
    source = at(sources.EXPERT, "core mental model")
    if known is not None:
        return Answer(known.value, known.how, known.note or "as you said", source)
    kind = state.model.kind
    if kind is not None and kind.value != "chat":
        return Answer("fails", kind.how, "only a chat model follows a system prompt", source)
    why = "not tried as far as is known: try a prompt of under 500 tokens first, it is free"
    return Answer("fails", "assumed", why, source)


def _budget(state: State) -> Answer:
    known = state.situation.budget
    source = at(sources.EXPERT, "decision framework")
    if known is not None:
        choice = "low" if known.value == "low" else "enough"
        return Answer(choice, known.how, known.note or "as you said", source)
    if state.gpus:
        return Answer("enough", "assumed", "there is a GPU to train on", source)
    return Answer("enough", "assumed", "nothing was said against it", source)


def _examples(state: State) -> Answer:
    goal, rows = state.choice("goal"), state.rows
    least = LEAST_ROWS[goal]
    if rows is None:
        return Answer("missing", "assumed", "no data are known", _SIZES)
    if rows == 0:
        return Answer("missing", "measured", "no row of the data can be used", _SIZES)
    known = f"{rows:,} usable rows"
    if not is_at_least(rows, least):
        why = f"{known}; for this, below about {least:,} examples in the prompt do better"
        return Answer("too_few", "measured", why, _TREE if goal != "style" else _SIZES)
    enough = ENOUGH_ROWS[goal]
    if not is_at_least(rows, enough):
        why = f"{known} are few: {enough:,} and more are asked for; quality has to make up for it"
        return Answer("few", "measured", why, _SIZES)
    return Answer("enough", "measured", f"{known}; about {enough:,} are asked for", _sizes(goal))


def _sizes(goal: str) -> str:
    """Return who says how many rows it takes: they disagree by ten about instructions."""
    if goal == "reasoning":
        return f"{sources.RLVR}: 30,000 prompts, GSM8K's 7,473 among them"
    if goal != "instruction":
        return _SIZES
    return f"{sources.LIMA}: 1,000 good rows suffice ({_SIZES}: 10,000-100,000)"


def _corpus(state: State) -> Answer:
    source = at(sources.COMPLETE, "2.3")
    if "text" not in _format(state):
        why = "a language is learned from running text, and the data are none"
        how: How = "measured" if state.data.format is not None else "assumed"
        return Answer("none", how, why, source)
    tokens = state.data.tokens
    if tokens is None:
        return Answer("some", "assumed", "text, of which the tokens were not counted", source)
    if tokens.value >= _CORPUS_TOKENS:
        return Answer("much", tokens.how, f"{tokens.value:,} tokens of text", source)
    return Answer("some", tokens.how, f"{tokens.value:,} tokens of text", source)


def _quality(state: State) -> Answer:
    quality, source = state.data.quality, at(sources.EXPERT, "anti-patterns")
    if quality is None:
        return Answer("good", "assumed", "nobody has looked at the rows yet", source)
    worst = "" if not state.data.faults else f"; most lost by: {', '.join(state.data.faults)}"
    said = f"quality {quality.value} of 100{worst}"
    if quality.value >= _GOOD_QUALITY:
        return Answer("good", quality.how, said, source)
    if quality.value >= _POOR_QUALITY:
        return Answer("mend", quality.how, f"{said}; `ftui clean` first", source)
    why = f"{said}: bad rows do not average out, they do harm; `ftui clean` before anything else"
    return Answer("poor", quality.how, why, source)


def _are_long(state: State) -> bool:
    """Tell whether a row is too long to be one of some examples in a prompt."""
    tokens, rows = state.data.tokens, state.rows
    return tokens is not None and bool(rows) and tokens.value / (rows or 1) > _LONG_EXAMPLE


def _has_facts(state: State) -> bool:
    """Tell whether answers rest on facts that can be looked up."""
    return state.choice("goal") == "domain" and state.passed("facts") != "none"


def _teaches(*objectives: str) -> Callable[[State], bool]:
    """Return whether one of these is what the rows teach best."""

    def holds(state: State) -> bool:
        known = state.data.objectives
        return known is not None and known.value[:1] != () and known.value[0] in objectives

    return holds


def _has_reward(state: State) -> bool:
    """Tell whether answers can be scored, and that is what is wanted."""
    if state.passed("goal") not in ("reasoning", "preference", "instruction"):
        return False
    named = state.situation.reward is not None and not _teaches("dpo", "kto")(state)
    return named or (state.passed("goal") == "reasoning" and state.data.check is not None)


def _is_base(state: State) -> bool:
    return state.model.kind is not None and state.model.kind.value == "base"


def _is_rich(state: State) -> bool:
    budget = state.situation.budget
    return budget is not None and budget.value == "high"


_language = passed("goal", "language")
_WHEN: Final = at(sources.EXPERT, "when to fine-tune")
_LADDER: Final = at(sources.LESSON, "when to use each approach")
_ALIGNMENT: Final = at(sources.EXPERT, "SFT vs DPO vs RLHF")
_CORPORA: Final = at(sources.COMPLETE, "2.3")

_APPROACH_RULES: Final = (
    Rule(
        passed("goal", "knowledge"),
        "rag",
        "facts are looked up: fine-tuning teaches how to respond, not what to know",
        _FRAMEWORK,
    ),
    Rule(
        passed("prompt", "solves"),
        "prompting",
        "a prompt solves it: do not fine-tune",
        at(sources.EXPERT, "core mental model"),
    ),
    Rule(
        both(passed("budget", "low"), _has_facts),
        "rag",
        "training and retrieval together cost most; retrieval alone does more than training alone",
        _FRAMEWORK,
    ),
    Rule(
        passed("budget", "low"),
        "prompt_optimization",
        "a search over prompts costs a fraction of training",
        _FRAMEWORK,
    ),
    Rule(
        passed("examples", "missing"),
        "gather_data",
        "training is the answer, and there is nothing to learn from yet",
        at(sources.EXPERT, "dataset preparation"),
    ),
    Rule(
        both(passed("examples", "too_few"), _has_facts),
        "rag",
        "too few rows to learn from, and documents to look things up in",
        _TREE,
    ),
    Rule(
        both(passed("examples", "too_few"), _are_long),
        "sft",
        "few rows, but too long to be examples in a prompt: a small update is trained on them, and "
        "held against the model as it is",
        sources.OWN,
    ),
    Rule(
        passed("examples", "too_few"),
        "few_shot",
        "a few good examples in the prompt do better than training on them",
        _TREE,
    ),
    Rule(
        both(_language, passed("corpus", "none"), lambda state: not state.rows),
        "gather_data",
        "a language is learned from a corpus, and there is none",
        _LADDER,
    ),
    Rule(
        both(_language, passed("corpus", "none")),
        "sft",
        "without a corpus only the way of answering can be learned, not the language",
        _LADDER,
    ),
    Rule(
        both(_language, passed("corpus", "much"), _is_rich),
        "full_training",
        "a new language, a billion tokens of it, and the money for weeks of training",
        _LADDER,
    ),
    Rule(
        _language,
        "continued_pretraining",
        "the corpus adapts a model that is there; a new one would take weeks to months",
        _CORPORA,
    ),
    Rule(
        both(_teaches("pretraining"), passed("goal", "domain", "instruction")),
        "continued_pretraining",
        "running text is learned as text: continued pretraining on the new corpus",
        _CORPORA,
    ),
    Rule(
        _has_reward,
        "rl",
        "good answers can be told from bad ones: the model answers, and learns from what it earns",
        sources.RLVR,
    ),
    Rule(
        both(_teaches("grpo"), passed("goal", "preference", "instruction", "reasoning")),
        "rl",
        "there is nothing to imitate: the model answers, and a reward judges",
        at(sources.COMPLETE, "7"),
    ),
    Rule(
        both(_teaches("dpo", "kto"), passed("goal", "preference", "instruction", "reasoning")),
        "preference",
        "the rows say which answers are better: alignment",
        _FRAMEWORK,
    ),
    Rule(
        passed("goal", "reasoning"),
        "sft",
        "no program can tell right from wrong here: worked examples are imitated",
        _WHEN,
    ),
    Rule(
        _has_facts,
        "sft_then_rag",
        "the way of answering is learned, the facts are looked up: both",
        _FRAMEWORK,
    ),
    Rule(
        passed("goal", "preference"),
        "sft",
        "preference tuning needs pairs; rows of answers are learned by imitation",
        _ALIGNMENT,
    ),
    Rule(
        both(passed("goal", "instruction"), _is_base),
        "sft",
        "instruction tuning: a base model learns from examples to follow instructions",
        at(sources.COMPLETE, "6.1"),
    ),
    Rule(
        passed("goal", "domain"),
        "sft",
        "ways of thinking and words of a domain are learned from worked examples",
        _WHEN,
    ),
    Rule(
        passed("goal", "classification"),
        "sft",
        "a specialised task with one right answer each: what fine-tuning does best",
        at(sources.LESSON, "when to use each approach"),
    ),
    Rule(always, "sft", APPROACHES["sft"].use, _WHEN),
)
_RESTS_ON: Final = (
    *("goal", "freshness", "facts", "prompt", "budget", "examples", "corpus", "quality"),
)

_GOALS: Final = get_args(Goal)
_AFTER_APPROACH: Final = {"rl": "reward", "preference": "on_policy"}
_AFTER_GOAL: Final = {
    "knowledge": "freshness",
    "domain": "facts",
    "language": "corpus",
    "preference": "examples",
}

NODES: Final = (
    Node(
        "goal",
        "approach",
        "What should change in the model?",
        tuple(Branch(g, _GOAL_LABELS[g], _AFTER_GOAL.get(g, "prompt")) for g in _GOALS),
        _goal,
    ),
    Node(
        "freshness",
        "approach",
        "How often do the facts change?",
        (
            Branch("rarely", "hardly ever", "approach"),
            Branch("often", "from time to time, or all the time", "approach"),
        ),
        _freshness,
    ),
    Node(
        "facts",
        "approach",
        "Must answers rest on facts of the domain, and how often do those change?",
        (
            Branch("none", "no facts to look up: the way of thinking counts", "prompt"),
            Branch("rarely", "on facts that hardly change", "budget"),
            Branch("often", "on facts that change", "budget"),
        ),
        _facts,
    ),
    Node(
        "prompt",
        "approach",
        "Would a system prompt of under 500 tokens solve it?",
        (
            Branch("solves", "yes", "approach"),
            Branch("partly", "in part, or not every time", "budget"),
            Branch("fails", "no", "budget"),
        ),
        _prompt,
    ),
    Node(
        "budget",
        "approach",
        "Is there money and time to train?",
        (
            Branch("low", "no, or hardly", "approach"),
            Branch("enough", "yes", "examples"),
        ),
        _budget,
    ),
    Node(
        "examples",
        "approach",
        "Are there enough examples?",
        (
            Branch("missing", "none", "approach"),
            Branch("too_few", "too few to train on", "approach"),
            Branch("few", "few, but it can be tried", "quality"),
            Branch("enough", "yes", "quality"),
        ),
        _examples,
    ),
    Node(
        "corpus",
        "approach",
        "Is there running text of the language?",
        (
            Branch("none", "no", "approach"),
            Branch("some", "some", "quality"),
            Branch("much", "a billion tokens or more", "quality"),
        ),
        _corpus,
    ),
    Node(
        "quality",
        "approach",
        "Are the rows good enough?",
        (
            Branch("good", "yes", "approach"),
            Branch("mend", "not all: clean them first", "approach"),
            Branch("poor", "no: cleaning comes before training", "approach"),
        ),
        _quality,
    ),
    Node(
        "approach",
        "approach",
        "What is the answer, then?",
        tuple(
            Branch(one.id, one.name, _AFTER_APPROACH.get(one.id, "teaches") if one.trains else END)
            for one in APPROACHES.values()
        ),
        by_rules(_APPROACH_RULES, *_RESTS_ON),
    ),
)
