"""Who says what a run takes of memory and time: the closed form, and finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec

from tui_ft.advise.estimator import Estimator, Seconds, Work
from tui_ft.advise.timing import seconds_of
from tui_ft.memory.duration import TimedRun
from tui_ft.memory.estimate import estimate
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step
from tui_ft.models import architecture_of
from tui_ft.models.targets import AdapterError
from tui_ft.models.trainable import trainable_parameters
from tui_ft.models.values import ArchitectureError
from tui_ft.runs.measured_time import timed_runs


class ClosedForm:
    """An `Estimator` by the closed form; what was asked before is answered at once.

    Args:
        runs: finished runs, by which times are less rough.
    """

    def __init__(self, runs: Sequence[TimedRun] = ()) -> None:
        self._runs = runs
        self._known: dict[bytes, Figure | Unknown] = {}

    def memory(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        """Return the peak on each GPU, or why it is not known."""
        return self._estimate(step, spread, careful=spread is None)

    def rough(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        """Return about the same at once: what is reserved beside the tensors is a usual share."""
        return self._estimate(step, spread, careful=False)

    def _estimate(self, step: Step, spread: Sharding | None, *, careful: bool) -> Figure | Unknown:
        key = msgspec.json.encode((step, spread, careful))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = estimate(step, sharding=spread, careful=careful)
        return found

    def seconds(self, work: Work) -> Seconds | Unknown:
        """Return how long the work takes, or why that is not known."""
        step = work.step
        try:
            model = architecture_of(step.config)
            trained = trainable_parameters(model, step.adapter)
        except (ArchitectureError, AdapterError) as error:
            return Unknown(str(error))
        return seconds_of(work, model, trained, self._runs)


@cache
def estimator() -> Estimator:
    """Return the one that all screens and commands ask; runs are looked at once."""
    return ClosedForm(timed_runs())
