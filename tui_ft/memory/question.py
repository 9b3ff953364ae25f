"""What the process of a dry run is asked, and what it answers."""

from __future__ import annotations

from typing import Final

import msgspec

from tui_ft.memory.replayed import Replayed
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step

EMPTY: Final = 0
"""Among lengths: the allocator's cache is emptied here. All steps count then, the first as well."""
EVALUATE: Final = -1
"""Among the lengths of an order: the evaluation's answers are generated here."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be replayed.

    Attributes:
        step: the step.
        lengths: of successive steps, in tokens; twice the step's own when empty; see `EMPTY`.
        expandable_segments: the allocator's setting of that name.
        orders: of each the most that is reserved is asked as well: lengths in tokens of successive
            steps, with `EMPTY` and `EVALUATE` between them. Without ``lengths`` the step is then
            measured while it is recorded.
        least: whether the least memory is asked for that each order runs in.
        sharding: FSDP over several GPUs, of which one is meant.
    """

    step: Step
    lengths: tuple[int, ...] = ()
    expandable_segments: bool = False
    orders: tuple[tuple[int, ...], ...] = ()
    least: bool = False
    sharding: Sharding | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, or why nothing was."""

    replayed: Replayed | None = None
    error: str | None = None
