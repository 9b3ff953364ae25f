"""Notices when a worker that was asked to stop does not come to it, and says how it can be ended.

A stop is obeyed between two steps, and a reward of somebody's own may loop for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tui_ft.runs import events as ev

PATIENCE_SECONDS: Final = 60.0


class StopWatch:
    """Counts from the moment when a run was asked to stop.

    Args:
        run: its id.
        clock: tells the time, in seconds.
    """

    def __init__(self, run: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._since: float | None = None
        self._told = False

    def start(self) -> None:
        """Begin to count; what was asked before counts on."""
        if self._since is None:
            self._since = self._clock()

    def look(self) -> ev.Alert | None:
        """Return what is to be said by now, once."""
        if self._since is None or self._told:
            return None
        waited = self._clock() - self._since
        if waited < PATIENCE_SECONDS:
            return None
        self._told = True
        return ev.Alert(
            severity="note",
            text=f"asked to stop {waited:.0f} s ago, which it does between two steps: this one, "
            "with its answers and rewards, or an evaluation takes longer",
            advice=f"`ftui kill {self._run}` ends it at once; the checkpoints so far are kept",
        )
