"""Dry runs behind what is being written: the closed form at every key, a replay once keys rest."""

from __future__ import annotations

import msgspec

from tui_ft.advise.estimator import Estimator, Seconds, Sharding, Work
from tui_ft.memory.calibration import corrected
from tui_ft.memory.dry_run import DryRunCancelledError, DryRunError, IsCancelled
from tui_ft.memory.estimating import Unknown, figures
from tui_ft.memory.figure import Figure
from tui_ft.memory.step import Step
from tui_ft.runs.measured_memory import machine_correction


class Refined:
    """An `Estimator` that answers with a replay where one was made, and by another else.

    Args:
        quick: what answers at once.
    """

    def __init__(self, quick: Estimator) -> None:
        self._quick = quick
        self._replayed: dict[bytes, Figure | Unknown] = {}

    def memory(self, step: Step, sharding: Sharding, gpus: int) -> Figure | Unknown:
        """Return the peak on each of ``gpus`` GPUs; a replay knows of one GPU alone."""
        found = self.replayed(step) if sharding == "one" else None
        return found if isinstance(found, Figure) else self._quick.memory(step, sharding, gpus)

    def rough(self, step: Step, sharding: Sharding, gpus: int) -> Figure | Unknown:
        """Return about the same at once; of what was replayed, what came of it."""
        found = self.replayed(step) if sharding == "one" else None
        return found if isinstance(found, Figure) else self._quick.rough(step, sharding, gpus)

    def seconds(self, work: Work) -> Seconds | Unknown:
        """Return how long the work takes, or why that is not known."""
        return self._quick.seconds(work)

    def replayed(self, step: Step) -> Figure | Unknown | None:
        """Return what a replay said of a step; None where none was made."""
        return self._replayed.get(key_of(step))

    def keep(self, step: Step, found: Figure | Unknown) -> None:
        """Keep what a replay said."""
        self._replayed[key_of(step)] = found


def key_of(step: Step) -> bytes:
    """Return what a step is told from others by."""
    return msgspec.json.encode(step, order="sorted")


def replay(step: Step, method: str, is_cancelled: IsCancelled) -> Figure | Unknown | None:
    """Return a step's figure by a dry run, corrected as the check before a start corrects it.

    Takes seconds, at the lowest priority. None where it was cancelled.

    Args:
        step: the step.
        method: the kind of the run's method.
        is_cancelled: asked often; once it says yes, the dry run's process is ended.
    """
    try:
        (found,) = figures([step], gently=True, is_cancelled=is_cancelled)
    except DryRunCancelledError:
        return None
    except DryRunError as error:
        return Unknown(str(error))
    return found if isinstance(found, Unknown) else corrected(found, machine_correction(method))
