"""Figures for runs: what is asked, answered by dry runs, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.figure import Figure, figure_of, nearby_lengths
from tui_ft.memory.question import Answer, Question
from tui_ft.memory.step import Step

_SECOND_BATCH: Final = 4
_LARGEST: Final = 4096
_TRIES: Final = 10
_NEVER: Final = 1 << 62


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """There is no figure; the reason is for people."""

    reason: str


def figures(steps: Sequence[Step]) -> tuple[Figure | Unknown, ...]:
    """Return the figure of each step, by replays of its own and of nearby lengths.

    Raises:
        DryRunError: the process died or took too long.
    """
    asked = [[_question(step, length) for length in nearby_lengths(step.length)] for step in steps]
    flat = [question for questions in asked for question in questions]
    answers = dict(zip(map(_key, flat), dry_runs(flat), strict=True))
    return tuple(_figure([answers[_key(question)] for question in group]) for group in asked)


def largest_batch(step: Step, free_bytes: int) -> int:
    """Return the most rows in one forward pass whose *high* figure fits; 0 when one does not.

    The figure is that of the step's own length, without its neighbours.

    Raises:
        DryRunError: the process died or took too long.
    """
    known: list[tuple[int, int]] = []

    def high(batch: int) -> int:
        (answer,) = dry_runs([_question(msgspec.structs.replace(step, batch=batch), step.length)])
        found = _figure([answer])
        size = _NEVER if isinstance(found, Unknown) else found.high
        known.append((batch, size))
        return size

    fits, too_many = 0, _LARGEST + 1
    guess: int | None = 1
    while guess is not None and len(known) < _TRIES:
        if high(guess) <= free_bytes:
            fits = guess
        else:
            too_many = guess
        guess = _next_guess(known, fits, too_many, free_bytes)
    return fits


def _next_guess(
    known: Sequence[tuple[int, int]], fits: int, too_many: int, free_bytes: int
) -> int | None:
    """Return the batch to try next: where the line through the last two would meet the limit.

    The line bends, for the head works in tiles of 4,096 tokens; so it is drawn anew each time.
    """
    if fits == 0 or too_many - fits <= 1:
        return None
    if len(known) == 1:
        return min(_SECOND_BATCH, too_many - 1)
    (one, size), (other, other_size) = known[-2:]
    each = max(1, (other_size - size) / (other - one))
    guess = other + int((free_bytes - other_size) / each)
    return max(fits + 1, min(guess, too_many - 1))


def _question(step: Step, length: int) -> Question:
    return Question(step=msgspec.structs.replace(step, length=length))


def _key(question: Question) -> bytes:
    return msgspec.json.encode(question, order="sorted")


def _figure(answers: Sequence[Answer]) -> Figure | Unknown:
    replays = [answer.replayed for answer in answers if answer.replayed is not None]
    if answers[0].replayed is None:
        reason = answers[0].error or "it gave no answer"
        return Unknown(f"a step of this model cannot be replayed without its weights ({reason})")
    return figure_of(replays)
