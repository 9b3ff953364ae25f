"""A row of the table of what cannot go together in a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui_ft.spec.run_spec import RunSpec


@dataclass(frozen=True, slots=True)
class Combination:
    """Two or more settings that exclude each other.

    Attributes:
        name: of the combination, for tests and lists.
        applies: whether a run has it.
        reason: why it cannot work.
        advice: what to set instead.
    """

    name: str
    applies: Callable[[RunSpec], bool]
    reason: str
    advice: str
