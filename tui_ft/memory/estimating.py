"""Figures for runs: what is asked, answered by dry runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tui_ft.memory.dry_run import IsCancelled, dry_runs, never
from tui_ft.memory.figure import Figure, figure_of, nearby_lengths
from tui_ft.memory.orders import orders_of
from tui_ft.memory.question import Answer, Question
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """There is no figure; the reason is for people."""

    reason: str


def figures(
    steps: Sequence[Step],
    lengths: Sequence[int] = (),
    *,
    sharding: Sharding | None = None,
    gently: bool = False,
    is_cancelled: IsCancelled = never,
) -> tuple[Figure | Unknown, ...]:
    """Return the figure of each step, by replays of its own and of nearby lengths.

    Args:
        steps: what is replayed.
        lengths: of the data's rows, in tokens: orders of batches of them are replayed then.
        sharding: FSDP, by which each is spread over several GPUs.
        gently: below everything else on the machine.
        is_cancelled: asked now and then.

    Raises:
        DryRunError: the process died or took too long, or was cancelled; see `dry_runs`.
    """
    asked = [_questions(step, lengths, sharding) for step in steps]
    flat = [question for questions in asked for question in questions]
    answers = dict(
        zip(map(_key, flat), dry_runs(flat, gently=gently, is_cancelled=is_cancelled), strict=True)
    )
    return tuple(_figure([answers[_key(question)] for question in group]) for group in asked)


def _questions(step: Step, lengths: Sequence[int], sharding: Sharding | None) -> list[Question]:
    orders = orders_of(step, lengths)
    if orders:
        return [Question(step=step, orders=orders, least=True, sharding=sharding)]
    return [
        Question(step=msgspec.structs.replace(step, length=length), sharding=sharding)
        for length in nearby_lengths(step.length)
    ]


def _key(question: Question) -> bytes:
    return msgspec.json.encode(question, order="sorted")


def _figure(answers: Sequence[Answer]) -> Figure | Unknown:
    replays = [answer.replayed for answer in answers if answer.replayed is not None]
    if answers[0].replayed is None:
        reason = answers[0].error or "it gave no answer"
        return Unknown(f"a step of this model cannot be replayed without its weights ({reason})")
    return figure_of(replays)
