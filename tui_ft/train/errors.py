"""Ways in which a run cannot go on, raised with the words for a person."""

from __future__ import annotations


class RunFailure(Exception):
    """The run ends as failed, for this reason and with this advice."""

    def __init__(self, reason: str, *advice: str) -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice


class RunStopped(Exception):
    """The run was told to stop where nothing has to be saved any more."""
