"""Who says what a run takes of memory and time."""

from __future__ import annotations

from functools import cache

from tui_ft.advise.estimator import Estimator
from tui_ft.advise.rough import Rough


@cache
def estimator() -> Estimator:
    """Return the one that all screens and commands ask."""
    return Rough()
