"""Dry runs behind what is being written: the closed form at every key, a replay once keys rest."""

from __future__ import annotations

import msgspec

from tui_ft.advise.estimator import Estimator, Seconds, Work
from tui_ft.memory.calibration import corrected
from tui_ft.memory.dry_run import DryRunCancelledError, DryRunError, IsCancelled
from tui_ft.memory.estimating import Unknown, figures
from tui_ft.memory.figure import Figure
from tui_ft.memory.question import Question
from tui_ft.memory.sharding import Sharding
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

    def memory(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        """Return the peak on each GPU."""
        found = self.replayed(Question(step=step, sharding=spread))
        return found if isinstance(found, Figure) else self._quick.memory(step, spread)

    def rough(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        """Return about the same at once; of what was replayed, what came of it."""
        found = self.replayed(Question(step=step, sharding=spread))
        return found if isinstance(found, Figure) else self._quick.rough(step, spread)

    def seconds(self, work: Work) -> Seconds | Unknown:
        """Return how long the work takes, or why that is not known."""
        return self._quick.seconds(work)

    def replayed(self, question: Question) -> Figure | Unknown | None:
        """Return what a replay said of a step; None where none was made."""
        return self._replayed.get(key_of(question))

    def keep(self, question: Question, found: Figure | Unknown) -> None:
        """Keep what a replay said."""
        self._replayed[key_of(question)] = found


def key_of(question: Question) -> bytes:
    """Return what a step, and how it is spread, is told from others by."""
    return msgspec.json.encode(question, order="sorted")


def replay(question: Question, method: str, is_cancelled: IsCancelled) -> Figure | Unknown | None:
    """Return a step's figure by a dry run, corrected as the check before a start corrects it.

    Takes seconds, at the lowest priority. None where it was cancelled.

    Args:
        question: the step, and how it is spread.
        method: the kind of the run's method.
        is_cancelled: asked often; once it says yes, the dry run's process is ended.
    """
    try:
        (found,) = figures(
            [question.step],
            sharding=question.sharding,
            gently=True,
            is_cancelled=is_cancelled,
        )
    except DryRunCancelledError:
        return None
    except DryRunError as error:
        return Unknown(str(error))
    return found if isinstance(found, Unknown) else corrected(found, machine_correction(method))
