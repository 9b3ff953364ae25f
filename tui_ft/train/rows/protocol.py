"""What an objective makes of the rows of a file: the protocol between data and objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from tui_ft.data import Completion, Conversation, Document, Item
from tui_ft.data.items import AnyItem, Judged, Pair

IGNORED: Final = -100
"""The label that torch's cross entropy passes over."""

TokenRow = Mapping[str, Any]
"""A row as the trainer's collator is given it: column -> token ids, a mask, a label."""

NO_ITEM: Final = "it is no row that this objective can learn from"


@dataclass(frozen=True, slots=True)
class Totals:
    """What the rows of a file add up to.

    Attributes:
        rows: items that became tokens, whether or not anything is left to learn from.
        tokens: their tokens as they are trained on, after the cut.
        supervised: those that carry loss.
        longest: tokens of the longest row, after the cut.
    """

    rows: int
    tokens: int
    supervised: int
    longest: int


class RowMaker(Protocol):
    """Makes rows of tokens of a file's items, one after the other, and keeps count."""

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns of a row, in the types of `datasets`."""

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the rows that ``item`` becomes, none if it teaches nothing, or what is wrong."""

    def beside(self) -> RowMaker:
        """Return a maker of the same kind for another file of the same run."""

    def refusal(self) -> str | None:
        """Return why training on the rows made so far would teach nothing; None if it would."""

    def warnings(self) -> list[str]:
        """Return what a person should know of them, worst first."""

    def totals(self) -> Totals:
        """Return what they add up to."""


@runtime_checkable
class TakesColumns(Protocol):
    """A `RowMaker` that looks at more of a row than what it has to teach."""

    def take_columns(self, values: Mapping[str, Any]) -> None:
        """Look at the columns of the row that is made next."""


def answered(item: AnyItem) -> Item | None:
    """Return the answer in ``item`` that a model should give; None if there is none."""
    match item:
        case Pair(chosen):
            return chosen
        case Judged(answer, good):
            return answer if good else None
        case Conversation() | Completion() | Document():
            return item
        case _:
            return None
