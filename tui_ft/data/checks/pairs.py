"""Checks of a better and a worse answer: what a preference teaches is the difference of the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.glance import Glance
from tui_ft.data.checks.refusals import refuses
from tui_ft.data.items import Completion, Conversation, Pair
from tui_ft.data.row_view import RowView

_TIMES_LONGER: Final = 3
_LEAST_LENGTH: Final = 200
"""Characters: `Yes, of course.` is three times as long as `No.` and biased to nothing."""


def _pairs(glance: Glance) -> Sequence[int]:
    return glance.pairs


def _is_equal(view: RowView) -> bool:
    if view.rejected is None or view.answer != view.rejected:
        return False
    # Equal last answers may end different dialogues, or stand beside different tool calls.
    return isinstance(view.item, Pair) and view.item.chosen == view.item.rejected


def _differs_little(view: RowView) -> bool:
    if view.rejected is None or not isinstance(view.item, Pair):
        return False
    if view.answer.lstrip()[:1].casefold() != view.rejected.lstrip()[:1].casefold():
        return False
    chosen, rejected = view.item.chosen, view.item.rejected
    return chosen != rejected and _folded(chosen) == _folded(rejected)


def _folded(side: Conversation | Completion) -> object:
    """Return all that a side says, and calls, but for white space and case."""
    if isinstance(side, Completion):
        return "".join(side.completion.split()).casefold(), side.prompt
    return [
        {
            name: "".join(value.split()).casefold()
            if name == "content" and isinstance(value, str)
            else value
            for name, value in message.items()
        }
        for message in side.messages
    ]


def _chooses_refusal(view: RowView) -> bool:
    if view.rejected is None:
        return False
    return refuses(view.answer) and not refuses(view.rejected)


def _chooses_much_longer(view: RowView) -> bool:
    if view.rejected is None or len(view.answer) < _LEAST_LENGTH:
        return False
    return 0 < _TIMES_LONGER * len(view.rejected) < len(view.answer)


CHOSEN_EQUALS_REJECTED: Final = RowCheck(
    CheckAbout(
        id="chosen-equals-rejected",
        title="chosen equals rejected",
        severity="bad",
        why="The two answers are the same: there is nothing to prefer, only noise.",
        advice="Drop these rows.",
    ),
    _is_equal,
    _pairs,
)
PAIR_DIFFERS_LITTLE: Final = RowCheck(
    CheckAbout(
        id="pair-differs-little",
        title="pair differs in spaces or case only",
        severity="warning",
        why="The model learns to prefer a space or a capital, if anything.",
        advice="Drop these rows, unless spaces or case are what you teach.",
    ),
    _differs_little,
    _pairs,
)
CHOSEN_IS_REFUSAL: Final = RowCheck(
    CheckAbout(
        id="chosen-is-refusal",
        title="a refusal is preferred",
        severity="warning",
        why="The chosen answer refuses and the rejected one does not: the model learns to refuse.",
        advice="Right in safety data; else the two may be swapped: look at some, drop the wrong.",
    ),
    _chooses_refusal,
    _pairs,
)
CHOSEN_MUCH_LONGER: Final = RowCheck(
    CheckAbout(
        id="chosen-much-longer",
        title="chosen over 3x as long",
        severity="note",
        why="Where the longer answer mostly wins, DPO learns length rather than quality.",
        advice="Compare the lengths over all pairs; balance them, or use a length-normalised loss.",
        source="Park et al. 2024, Disentangling Length from Quality in DPO",
    ),
    _chooses_much_longer,
    _pairs,
    remedy="none",
)
CHECKS: Final = (
    CHOSEN_EQUALS_REJECTED,
    PAIR_DIFFERS_LITTLE,
    CHOSEN_IS_REFUSAL,
    CHOSEN_MUCH_LONGER,
)
