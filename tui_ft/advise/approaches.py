"""The ways to make a model do what is wanted, training among them: what each costs and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui_ft.advise import sources
from tui_ft.advise.sources import at


@dataclass(frozen=True, slots=True)
class Approach:
    """One way.

    Attributes:
        cost: in words.
        time: until it is deployed, in words.
        use: when it is right.
        avoid: when it is not.
        trains: whether weights are trained.
    """

    id: str
    name: str
    cost: str
    time: str
    use: str
    avoid: str
    source: str
    trains: bool = False


_LADDER = at(sources.LESSON, "when to use each approach")
_WHEN = at(sources.EXPERT, "when to fine-tune vs RAG vs prompting")

_ALL: Final = (
    Approach(
        "prompting",
        "a better prompt",
        "free, but for the prompt's tokens in every call",
        "minutes",
        "a prompt of under 500 tokens solves it",
        "the behaviour must hold over thousands of calls",
        _WHEN,
    ),
    Approach(
        "few_shot",
        "examples in the prompt",
        "free, but for the examples' tokens in every call",
        "minutes to hours",
        "there are too few examples to train on",
        "calls are many, and the examples would be paid for in each",
        at(sources.OPS, "decision tree"),
    ),
    Approach(
        "prompt_optimization",
        "an optimised prompt (DSPy, OPRO)",
        "low: some hundred calls of a model",
        "hours",
        "a prompt does it in part, and there is no money to train",
        "a prompt fails altogether",
        at(sources.EXPERT, "decision framework"),
    ),
    Approach(
        "rag",
        "retrieval (RAG)",
        "low: an index, and longer prompts",
        "hours",
        "facts, documents and current information are missing",
        "the model knows the content but answers in the wrong way",
        _WHEN,
    ),
    Approach(
        "sft",
        "supervised fine-tuning",
        "medium: GPU hours, and the work on the data",
        "days",
        "style, format, jargon and structure must be kept up consistently",
        "facts are to be learned: it does not add them reliably",
        _WHEN,
        trains=True,
    ),
    Approach(
        "sft_then_rag",
        "supervised fine-tuning, then retrieval",
        "high: both have to be built and kept",
        "days to weeks",
        "both the way of answering and the facts behind it matter",
        "the budget is small: it is the most expensive of these",
        _WHEN,
        trains=True,
    ),
    Approach(
        "preference",
        "preference tuning",
        "medium to high: pairs have to be judged",
        "days",
        "a better answer is to be preferred over a worse one: alignment, safety, quality",
        "the model was not fine-tuned on instructions before",
        at(sources.EXPERT, "SFT vs DPO vs RLHF"),
        trains=True,
    ),
    Approach(
        "rl",
        "reinforcement learning with a reward",
        "high: GPU days, most of them for generating answers",
        "days to weeks",
        "a program or a reward model can tell good answers, and the model gives some already",
        "good answers are at hand to imitate, or no answer of the model's earns anything",
        sources.RLVR,
        trains=True,
    ),
    Approach(
        "continued_pretraining",
        "continued pretraining",
        "high: GPU days, and a corpus",
        "days to weeks",
        "a language or a domain far from what the model was trained on, and much text of it",
        "the model knows the language and only answers in the wrong way",
        at(sources.COMPLETE, "2.3"),
        trains=True,
    ),
    Approach(
        "full_training",
        "full training",
        "very high: many GPUs for weeks",
        "weeks to months",
        "entirely new capabilities or languages, and the corpus and money for them",
        "anything less would do",
        _LADDER,
        trains=True,
    ),
    Approach(
        "gather_data",
        "gathering data first",
        "the time to write or collect rows",
        "days to weeks",
        "training is the answer, and there are no rows it could learn from",
        "rows are there",
        at(sources.EXPERT, "dataset preparation"),
    ),
)

APPROACHES: Final = {approach.id: approach for approach in _ALL}
"""By id, from the cheapest to the dearest."""
