"""What rows of a format can teach, the likeliest first, with the reason for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tui_ft.data.format_table import objectives_of
from tui_ft.survey.summary import Layout, Summary

_ANSWERS: Final = "each row is a question and the answer to learn"
_PAIRS: Final = "each row is one prompt with a better and a worse answer"
_PROMPTS: Final = "the rows are prompts: the model answers, and a reward grades; needs a reward"

_REASONS: Final[Mapping[tuple[str, str], str]] = {
    ("messages", "sft"): "each row is a dialogue, and its assistant's turns are to be learned",
    ("prompt_completion", "sft"): "each row is a prompt and what is to follow it",
    ("alpaca", "sft"): _ANSWERS,
    ("text", "pretraining"): "the rows are plain text, of which every token can be learned",
    ("text", "sft"): "the text can be learned as it stands, dialogues written in it turn by turn",
    ("preference", "dpo"): _PAIRS,
    ("preference", "orpo"): f"{_PAIRS}; learned with the answers, without a model to compare with",
    ("preference", "cpo"): f"{_PAIRS}; learned without a model to compare with",
    ("preference", "reward"): f"{_PAIRS}, which a reward model learns to tell apart",
    ("kto", "kto"): "each row is an answer judged good or bad, without its opposite",
    ("prompt_only", "grpo"): _PROMPTS,
    ("prompt_only", "rloo"): _PROMPTS,
    ("prompt_only", "ppo"): f"{_PROMPTS} model",
    ("text_label", "classification"): "each row is a text and its class",
}

# What can be had from part of a row, after what the whole row is made for.
_FROM_A_PART: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "preference": (
        (
            "sft",
            "the better answers alone, as rows of theirs; a base model needs them first",
        ),
    ),
    "kto": (("sft", "the good answers alone, as rows of theirs"),),
    **dict.fromkeys(
        ("messages", "prompt_completion", "alpaca"),
        (("grpo", "the questions as prompts, where a program can check the answers"),),
    ),
}


class Candidate(msgspec.Struct, frozen=True):
    """An objective that the rows can serve, and why."""

    objective: str
    reason: str


def candidates_of(summary: Summary) -> tuple[Candidate, ...]:
    """Return what the rows can teach, the likeliest first; nothing where no row is usable."""
    layout = summary.layout
    if layout is None or not summary.usable:
        return ()
    made_for = ((name, _REASONS[layout.format, name]) for name in objectives_of(layout.format))
    in_part = _FROM_A_PART.get(layout.format, ())
    found: dict[str, str] = {}
    for objective, reason in (*made_for, *in_part, *_read_otherwise(layout)):
        found.setdefault(objective, reason)
    return tuple(Candidate(objective, reason) for objective, reason in found.items())


def _read_otherwise(layout: Layout) -> list[tuple[str, str]]:
    """Return what the formats that would fit as well are made for."""
    return [
        (objective, f"with data.format: {other}, for which the rows have the columns too")
        for other in layout.others
        for objective in objectives_of(other)
    ]
