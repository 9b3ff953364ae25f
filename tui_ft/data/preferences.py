"""Rows of a better and a worse answer, in the layouts in which they are published."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from tui_ft.data.items import ASSISTANT, Conversation, Message, Pair
from tui_ft.data.messages import is_whole_dialogue, read_messages
from tui_ft.data.parts import (
    TURNS,
    Parts,
    completion,
    conversation,
    said,
    turns_or_text,
    without_answer,
)


def convert_preference(parts: Parts) -> Pair:
    """Return both answers with their prompt.

    Texts after a prompt that is a text, or none, stay plain; all others are conversations. Without
    a prompt it is what both sides begin with.

    Raises:
        UnusableRowError: a side is missing, says nothing, or is no dialogue.
    """
    chosen = turns_or_text(parts.value("chosen"))
    rejected = turns_or_text(parts.value("rejected"))
    if "instruction" in parts:
        return _pair(parts, [said("user", parts.question())], chosen, rejected)
    prompt = without_answer(turns_or_text(parts.value("prompt")))
    listed = isinstance(chosen, TURNS) or isinstance(rejected, TURNS) or isinstance(prompt, TURNS)
    if not listed and not parts.system():
        better, worse = parts.text("chosen"), parts.text("rejected")
        if prompt is None:
            return _split(better, worse)
        asked = parts.text("prompt")
        return Pair(completion(asked, better), completion(asked, worse))
    before = [] if prompt is None else parts.messages("prompt", prompt, "user")
    return _pair(parts, before, chosen, rejected)


def _pair(parts: Parts, before: list[Message], chosen: object, rejected: object) -> Pair:
    better = _joined(parts, "chosen", before, chosen)
    worse = _joined(parts, "rejected", before, rejected)
    asked = len(before)
    if is_whole_dialogue(chosen) or is_whole_dialogue(rejected) or not before:
        asked = _shared_messages(better, worse)
    return Pair(_side(parts, better, asked), _side(parts, worse, asked))


def _side(parts: Parts, messages: list[Message], asked: int) -> Conversation:
    return conversation(parts, messages, prompt_messages=asked)


def _joined(parts: Parts, part: str, before: list[Message], side: object) -> list[Message]:
    """Return a side with the prompt before it, which many sides repeat."""
    if not is_whole_dialogue(side) or not isinstance(side, list):
        return [*before, *parts.messages(part, side, ASSISTANT, first=len(before) + 1)]
    whole = read_messages(side)
    roles = [message["role"] for message in whole]
    if roles[0] == "system" or roles[: len(before)] == [message["role"] for message in before]:
        return whole  # it holds the prompt, perhaps in other words
    # Two questions in a row are one question, asked again.
    asked_again = roles[0] == before[-1]["role"] == "user"
    return [*before[:-1], *whole] if asked_again else [*before, *whole]


def _shared_messages(one: Sequence[Message], other: Sequence[Message]) -> int:
    """Return how many messages both begin with; the last one is an answer all the same."""
    most = min(len(one), len(other)) - 1
    shared = 0
    while shared < most and one[shared] == other[shared]:
        shared += 1
    return shared


def _split(one: str, other: str) -> Pair:
    """Return two texts with what they both begin with, up to its last white space, as prompt."""
    most = min(len(one), len(other))
    same = bisect_left(range(1, most + 1), True, key=lambda end: one[:end] != other[:end])
    asked = max(one.rfind(" ", 0, same), one.rfind("\n", 0, same)) + 1
    return Pair(completion(one[:asked], one[asked:]), completion(other[:asked], other[asked:]))
