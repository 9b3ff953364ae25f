"""What a run's checkpoints will take of the disk, and what they may take."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import ModelFacts
from tui_ft.memory.states import optimizer_states, paged_bytes
from tui_ft.models import ArchitectureError
from tui_ft.models.targets import AdapterError
from tui_ft.models.trainable import trainable_parameters
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE
from tui_ft.spec.peft_arguments import peft_arguments

GIGABYTE: Final = 1_000_000_000
BEST_AND_LAST: Final = 2
_COLUMNS: Final = 1024
_WIDTHS: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
_CLASSES: Final = 2
_UNBOUND: Final = 10


@dataclass(frozen=True, slots=True)
class CheckpointSize:
    """One checkpoint, in bytes: the weights that are saved, and the optimizer's states.

    Attributes:
        certain: whether the optimizer is one whose states are known; else they are taken for
            AdamW's.
    """

    weights: int
    states: int
    certain: bool = True

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.states


def checkpoint_size(spec: RunSpec, facts: ModelFacts) -> CheckpointSize | None:
    """Return what one checkpoint takes, or None where the model cannot be counted.

    Weights are saved in the type in which they are trained: adapters in float32, the whole model in
    that of `step_of`. An adapter's checkpoint holds the adapter alone, the base is not saved.
    """
    scores = spec.objective.kind in ("reward", "classification")
    try:
        step = step_of(spec, facts.config or {})
        architecture = facts.architecture(_CLASSES if scores else None)
        trained = trainable_parameters(architecture, peft_arguments(spec.method))
    except (AdapterError, ArchitectureError, KeyError, TypeError, ValueError):
        return None
    whole = spec.method.kind in TRAINS_BASE
    dtype = str(step.weights) if whole else "float32"
    saved = architecture.parameters if whole else trained
    optim = spec.training.optim
    tables = sum(one.rows * one.width for one in architecture.embeddings) if whole else 0
    states, certain = _states(optim, trained - tables, dtype)
    if tables:
        states += _states(optim, tables, dtype, embedding=True)[0]
    return CheckpointSize(saved * _WIDTHS.get(dtype, 4), states, certain)


def _states(
    optim: str, parameters: int, dtype: str, *, embedding: bool = False
) -> tuple[int, bool]:
    """Return the states of so many parameters, as if they were one matrix, and if they are known.

    Paged ones are on the disk like all others.
    """
    shape = (_COLUMNS, max(1, parameters // _COLUMNS))
    try:
        states = optimizer_states(optim, shape, dtype, embedding=embedding)
    except ValueError:
        return 2 * parameters * _WIDTHS.get(dtype, 4), False
    held = sum(state.size for state in states)
    return held + paged_bytes(optim, shape, dtype, embedding=embedding), True


def most_at_once(spec: RunSpec, one: int, allowed: int | None) -> int:
    """Return how many checkpoints of ``one`` byte each lie on the disk at the same time, at most.

    A new one is written before the oldest is removed. The best and the last are kept whatever the
    budget says.

    Args:
        allowed: the budget in bytes; None for none.
    """
    every = spec.training.save_steps
    if every is None:
        return 1
    written = math.ceil(1 / every) if every < 1 else _UNBOUND
    if spec.training.max_steps and every >= 1:
        written = math.ceil(spec.training.max_steps / every)
    kept = written
    limit = spec.training.save_total_limit
    if limit is not None:
        kept = min(kept, max(limit, BEST_AND_LAST if spec.training.load_best_model_at_end else 1))
    if allowed is not None and one:
        kept = min(kept, max(BEST_AND_LAST, allowed // one))
    return min(written, kept + 1)


def budget_bytes(budget: float, folder: Path, taken: int) -> int:
    """Return what `output.checkpoint_budget` allows, in bytes.

    Args:
        budget: GB; below 1, a share of the disk that is free, what they take already counted.
        folder: where they lie, or will.
        taken: what they take already.
    """
    if budget >= 1:
        return round(budget * GIGABYTE)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return round(budget * (shutil.disk_usage(there).free + taken))
