"""What cannot go together in a run, and why: a table, asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.spec.run_spec import RunSpec

_PACKED: Final = ("sft", "pretraining")
_FEWEST_FOR_KL: Final = 2


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


def impossible(spec: RunSpec) -> tuple[Combination, ...]:
    """Return every combination of the table that ``spec`` has; none for a run that may start."""
    return tuple(one for one in COMBINATIONS if one.applies(spec))


def _kto_batch_too_small(spec: RunSpec) -> bool:
    objective, training = spec.objective, spec.training
    if objective.kind != "kto" or objective.loss_type != "kto":
        return False
    evaluated = training.per_device_eval_batch_size or _FEWEST_FOR_KL
    return min(training.per_device_train_batch_size, evaluated) < _FEWEST_FOR_KL


COMBINATIONS: Final = (
    Combination(
        "packing with pairs, verdicts or classes",
        lambda spec: spec.training.packing and spec.objective.kind not in _PACKED,
        "training.packing joins texts into one row, and this objective looks at each by itself",
        "set training.packing to false",
    ),
    Combination(
        "graded answers of a model that scores",
        lambda spec: spec.evaluation.score is not None and spec.objective.kind in ANSWERS_NOTHING,
        "evaluation.score grades generated answers, and a model with a scoring head generates none",
        "leave evaluation.score out",
    ),
    Combination(
        "KTO on single rows",
        _kto_batch_too_small,
        "kto estimates its KL term from other rows of the batch, and there is only one",
        "set training.per_device_train_batch_size (and per_device_eval_batch_size) to 2 or more, "
        "or objective.loss_type to apo_zero_unpaired",
    ),
)
