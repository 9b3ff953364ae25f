"""What a check is: a question asked of every row, with why it matters and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tui_ft.data.checks.glance import Glance
from tui_ft.data.row_view import RowView

Severity = Literal["bad", "warning", "note"]
Remedy = Literal["drop", "repair", "none"]


@dataclass(frozen=True, slots=True)
class CheckAbout:
    """What a person is told about a check.

    Attributes:
        id: its name on the command line and in JSON, such as `empty-answer`.
        title: what is said of a row in which it is found: `answer empty`.
        severity: `bad` harms training, `warning` probably does, `note` is good to know.
        why: why it matters, in a sentence.
        advice: what can be done, in a sentence.
        source: who says so, where it is a rule of somebody's; empty where it is plain.
    """

    id: str
    title: str
    severity: Severity
    why: str
    advice: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class RowCheck:
    """A check that sees one row at a time."""

    about: CheckAbout
    found_in: Callable[[RowView], bool]
    """Whether the row has it."""

    suspects: Callable[[Glance], Iterable[int]]
    """The rows that may have it, of many looked at together: every one that has it, and for the
    sake of speed few others. Where a file is read whole, only these are asked."""

    remedy: Remedy = "drop"
    """What `ftui clean` does by default when this check is chosen."""

    repaired: Callable[[str], str] | None = None
    """For `repair`: a text of the row (a message's content, a column) without the fault."""
