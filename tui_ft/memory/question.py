"""What the process of a dry run is asked, and what it answers."""

from __future__ import annotations

from typing import Final

import msgspec

from tui_ft.memory.replayed import Replayed
from tui_ft.memory.step import Step

EMPTY: Final = 0
"""Among lengths: the allocator's cache is emptied here. All steps count then, the first as well."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be replayed.

    Attributes:
        step: the step.
        lengths: of successive steps, in tokens; twice the step's own when empty; see `EMPTY`.
        expandable_segments: the allocator's setting of that name.
    """

    step: Step
    lengths: tuple[int, ...] = ()
    expandable_segments: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, or why nothing was."""

    replayed: Replayed | None = None
    error: str | None = None
