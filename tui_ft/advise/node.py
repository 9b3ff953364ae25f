"""The tree as data: questions, their branches, and how each is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tui_ft.advise.situation import How

if TYPE_CHECKING:
    from tui_ft.advise.state import State

Stage = Literal["approach", "objective", "method", "hyper-parameters"]
STAGES: Final[tuple[Stage, ...]] = ("approach", "objective", "method", "hyper-parameters")

END: Final = ""
"""Where a branch leads that ends the path."""


class AnswerError(ValueError):
    """An answer that a node does not have; the message is for people."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One answer to a question, what it means, and the node that it leads to."""

    choice: str
    label: str
    leads_to: str = END


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that a node takes beside those of its branches."""

    low: float
    high: float
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answers: its choice, how that is known, the reason, and the reason's source."""

    choice: str
    how: How
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `when` holds, this is the answer, for this reason."""

    when: Callable[[State], bool]
    choice: str
    reason: str
    source: str = ""


def passed(node: str, *choices: str) -> Callable[[State], bool]:
    """Return a condition: the path went through ``node`` and took one of these branches."""
    return lambda state: state.passed(node) in choices


def chose(node: str, *choices: str) -> Callable[[State], bool]:
    """Return a condition: ``node`` is answered by one of these, or would be."""
    return lambda state: state.choice(node) in choices


def both(*conditions: Callable[[State], bool]) -> Callable[[State], bool]:
    """Return the condition that all of these hold."""
    return lambda state: all(condition(state) for condition in conditions)


def by_rules(rules: Sequence[Rule], *rests_on: str) -> Callable[[State], Answer]:
    """Return how a node is answered by the first of ``rules`` that holds; the last always does.

    Args:
        rules: in the order in which they are tried.
        rests_on: nodes that the answer follows from: it is known as the least known of them is.
    """

    def answer(state: State) -> Answer:
        rule = next(rule for rule in rules if rule.when(state))
        return Answer(rule.choice, state.how(*rests_on), rule.reason, rule.source)

    return answer


def always(_state: State) -> bool:
    """Hold for every state: the rule that is left when no other holds."""
    return True


@dataclass(frozen=True, slots=True)
class Node:
    """A question of the tree.

    Attributes:
        id: its name, by which a person can answer it.
        question: for people.
        branches: the answers it has; of a number, the usual ones.
        answer: finds the answer from what is known and was answered before.
        number: what else it takes, where the answer is a number. Any number leads where the first
            branch leads.
    """

    id: str
    stage: Stage
    question: str
    branches: tuple[Branch, ...]
    answer: Callable[[State], Answer]
    number: Range | None = None

    def leads_to(self, choice: str) -> str:
        """Return the next node's id, or `END`."""
        for branch in self.branches:
            if branch.choice == choice:
                return branch.leads_to
        return self.branches[0].leads_to

    def label(self, choice: str) -> str:
        """Return what a choice means, in words."""
        return next((b.label for b in self.branches if b.choice == choice), choice)

    def checked(self, choice: str) -> str:
        """Return a person's choice as the node writes it.

        Raises:
            AnswerError: it has no such branch.
        """
        choice = choice.strip()
        if any(branch.choice == choice for branch in self.branches):
            return choice
        number = None if self.number is None else _number(choice, self.number)
        if number is not None:
            return number
        known = ", ".join(branch.choice for branch in self.branches)
        more = ""
        if self.number is not None:
            more = f", or a number from {self.number.low:g} to {self.number.high:g}"
        raise AnswerError(f"{self.id}: there is no answer `{choice}`; it has {known}{more}")


def _number(text: str, allowed: Range) -> str | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not allowed.low <= value <= allowed.high or (allowed.whole and value != int(value)):
        return None
    return f"{value:g}" if not allowed.whole else str(int(value))
