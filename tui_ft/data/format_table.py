"""Every format that training rows are kept in: its parts, the names of its columns, its uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tui_ft.vocabulary import FormatName

_OBJECTIVES: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("sft",),
    "prompt_completion": ("sft",),
    "alpaca": ("sft",),
    "text": ("pretraining", "sft"),
    "preference": ("dpo", "orpo", "cpo", "reward"),
    "kto": ("kto",),
    "prompt_only": ("grpo", "rloo", "ppo"),
    "text_label": ("classification",),
}


def objectives_of(format: str) -> tuple[str, ...]:
    """Return what rows of a format can be used for, the likeliest first."""
    return _OBJECTIVES.get(format, ())


@dataclass(frozen=True, slots=True)
class Format:
    """What a format needs: its parts, and the column names each is known by, commonest first.

    A format that is laid out in several ways has one of these for each.
    """

    name: FormatName
    required: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def asks_in_messages(self) -> bool:
        """Whether it is dialogues without their last answer, told from whole ones by their end."""
        return self.name == "prompt_only" and "messages" in self.required


_MESSAGES: Final = ("messages", "conversations", "conversation", "dialogue", "chat")
_QUESTIONS: Final = ("instruction", "question", "query", "problem")
_ANSWERS: Final = ("output", "response", "solution", "answer")
"""A solution before an answer: who has both keeps in the second what the first comes to."""
_REFERENCES: Final = (
    *("ground_truth", "final_answer", "reward_model.ground_truth", "answer", "solution"),
    *("reference", "reference_answer", "expected", "expected_output", "expected_answer", "gold"),
)
_TEXTS: Final = ("text", "sentence", "review", "content", "document", "tweet", "comment")
_TURNS: Final = {"tools": ("tools", "functions"), "system": ("system",)}
_PLAIN: Final = {"system": ("system",), "tools": ("tools",)}
_INPUT: Final = {"input": ("input", "context"), "system": ("system",)}
_RIGHT: Final = {"reference": _REFERENCES}
"""What is right, for rewards that compare with it."""
_VERDICT: Final = {"label": ("label", "kto_tag")}
_SIDES: Final = {
    "chosen": (
        "chosen",
        "accepted",
        "response_chosen",
        "chosen_response",
        "answer_chosen",
        "chosen_answer",
        "response_j",
        "preferred",
    ),
    "rejected": (
        "rejected",
        "response_rejected",
        "rejected_response",
        "answer_rejected",
        "rejected_answer",
        "response_k",
        "dispreferred",
    ),
}

# In order: what says most about a row is asked for first. A better and a worse answer, or a verdict
# on one, are there on purpose. `messages` says who speaks, and is often kept beside the text
# rendered from it; `alpaca` tells instruction from input, where `prompt_completion` is only two
# strings; nearly anything has a column like `text`, and a question fits whatever has an answer too.
#
# `instruction` is what a user says to a chat model; a `prompt` in text what a model goes on from.
FORMATS: Final = (
    Format(
        "preference",
        {"prompt": ("prompt", "conversations", "messages", "conversation"), **_SIDES},
        _PLAIN,
    ),
    Format("preference", {"instruction": (*_QUESTIONS, "input"), **_SIDES}, _INPUT),
    Format("preference", _SIDES, {"prompt": ("prompt",), **_PLAIN}),
    Format(
        "kto",
        {
            "prompt": ("prompt",),
            "completion": ("completion", "response", "answer", "output"),
            **_VERDICT,
        },
        _PLAIN,
    ),
    Format(
        "kto",
        {"instruction": _QUESTIONS, "output": ("output", "response", "answer"), **_VERDICT},
        _INPUT,
    ),
    Format("kto", {"messages": _MESSAGES, **_VERDICT}, _TURNS),
    Format("prompt_only", {"messages": _MESSAGES}, {**_TURNS, **_RIGHT}),
    Format("messages", {"messages": _MESSAGES}, {**_TURNS, **_RIGHT}),
    Format("alpaca", {"instruction": _QUESTIONS, "output": _ANSWERS}, {**_INPUT, **_RIGHT}),
    Format(
        "prompt_completion",
        {
            "prompt": ("prompt",),
            "completion": ("completion", "response", "solution", "answer", "output"),
        },
        {**_PLAIN, **_RIGHT},
    ),
    Format(
        "text_label",
        {"text": _TEXTS, "label": ("label", "labels", "class", "category", "sentiment")},
    ),
    Format("text", {"text": ("text", "content", "document")}),
    Format("prompt_only", {"prompt": ("prompt",)}, {**_PLAIN, **_RIGHT}),
    Format("prompt_only", {"instruction": _QUESTIONS}, {**_INPUT, **_RIGHT}),
)


def known_formats() -> str:
    """Return the formats and the parts each needs at least, in words."""
    least: dict[str, Format] = {}
    for form in FORMATS:
        known = least.setdefault(form.name, form)
        if len(form.required) < len(known.required):
            least[form.name] = form
    forms = "; ".join(f"{name} ({', '.join(form.required)})" for name, form in least.items())
    return f"known are: {forms}"
