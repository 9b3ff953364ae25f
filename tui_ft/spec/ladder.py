"""What a run changes by itself when memory ran out: the next step of its ladder, and its words.

A step either leaves what is learned as it was (the same rows in each step of the optimizer), and
the run goes on from its checkpoint; or it changes what is trained, and the run begins anew, so that
its curve is always that of a run started with these settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ValidationError

from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.fields import value_at
from tui_ft.spec.loading import put
from tui_ft.spec.run_spec import RunSpec
from tui_ft.spec.training import OutOfMemorySpec

Stage = Literal["load", "train", "evaluate", "score"]
"""What a run did when memory ran out."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder.

    Attributes:
        changes: dotted key -> the new value.
        was: the same keys -> the value before.
        words: what is other now, for people.
        begins_anew: whether what was trained so far is of another kind, and left aside.
        reason: how memory ran out.
    """

    changes: dict[str, Any]
    words: str
    begins_anew: bool = False
    was: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def next_rung(spec: RunSpec, stage: Stage) -> Rung | None:
    """Return the next step of the run's ladder, or None where it has none or is at its end.

    Args:
        spec: the run as it was when memory ran out, with all steps before.
        stage: what it did then; steps that free nothing there are left out.
    """
    ladder = spec.training.on_out_of_memory
    if ladder is None:
        return None
    values = spec.model_dump()
    for way in _WAYS[stage]:
        rung = way(spec, ladder)
        if rung is None or _breaks_something(spec, rung.changes):
            continue
        was = {key: value_at(values, key) for key in rung.changes}
        return Rung(rung.changes, rung.words, rung.begins_anew, was)
    return None


def with_changes(spec: RunSpec, changes: Mapping[str, Any]) -> RunSpec:
    """Return ``spec`` with other values at dotted keys.

    Raises:
        ValidationError: that is no run.
    """
    values = spec.model_dump()
    for key, value in changes.items():
        put(values, key, value)
    return RunSpec.model_validate(values)


def climbed(spec: RunSpec, rungs: Iterable[Rung]) -> RunSpec:
    """Return ``spec`` after the steps taken so far.

    A step is left out where the run says something else by now than the step found: then a person
    has changed it since, who knows better.
    """
    for rung in rungs:
        values = spec.model_dump()
        try:
            if all(value_at(values, key) == was for key, was in rung.was.items()):
                spec = with_changes(spec, rung.changes)
        except (KeyError, ValidationError):
            continue
    return spec


def smaller_batch(batch: int, accumulation: int) -> tuple[int, int] | None:
    """Return (rows in a pass, passes) for half of the rows or fewer; None for a single row.

    Their product stays: of an odd number of rows it is the next smaller divisor of all rows of a
    step that is taken, such as 3 -> 1 x 3, and 5 x 2 -> 2 x 5.
    """
    rows = batch * accumulation
    smaller = next((n for n in range(batch // 2, 0, -1) if rows % n == 0), None)
    return None if smaller is None else (smaller, rows // smaller)


def _smaller_batch(spec: RunSpec, ladder: OutOfMemorySpec) -> Rung | None:
    training = spec.training
    batch, accumulation = training.per_device_train_batch_size, training.gradient_accumulation_steps
    while ladder.smaller_batches and (found := smaller_batch(batch, accumulation)):
        batch, accumulation = found
        changes = {
            "training.per_device_train_batch_size": batch,
            "training.gradient_accumulation_steps": accumulation,
        }
        # Some losses need company in a pass: where half is too few, nothing smaller will do.
        if not _breaks_something(spec, changes):
            return Rung(changes, f"micro-batch {batch}, accumulation {accumulation}")
    return None


def _checkpointing(spec: RunSpec, ladder: OutOfMemorySpec) -> Rung | None:
    off = not spec.training.gradient_checkpointing
    # With prefix tuning it is turned off whatever is asked.
    if not (off and ladder.gradient_checkpointing) or spec.method.kind == "prefix_tuning":
        return None
    return Rung({"training.gradient_checkpointing": True}, "gradient checkpointing on")


def _shorter(spec: RunSpec, ladder: OutOfMemorySpec) -> Rung | None:
    now, least = spec.training.max_length, ladder.min_max_length
    if least is None or now <= least:
        return None
    length = max(least, now // 2)
    words = f"max_length {length:,}"
    return Rung({"training.max_length": length}, words, begins_anew=True)


def _qlora(spec: RunSpec, ladder: OutOfMemorySpec) -> Rung | None:
    if not ladder.qlora or spec.method.kind != "lora":
        return None
    return Rung({"method.kind": "qlora"}, "qlora", begins_anew=True)


def _smaller_evaluation(spec: RunSpec, ladder: OutOfMemorySpec) -> Rung | None:
    training = spec.training
    rows = training.per_device_eval_batch_size or training.per_device_train_batch_size
    if not ladder.smaller_batches or rows == 1:
        return None
    words = f"evaluation batch {rows // 2}"
    return Rung({"training.per_device_eval_batch_size": rows // 2}, words)


def _smaller_grading(spec: RunSpec, ladder: OutOfMemorySpec) -> Rung | None:
    score = spec.evaluation.score
    if score is None or not ladder.smaller_batches or score.batch_size == 1:
        return None
    rows = score.batch_size // 2
    return Rung({"evaluation.score.batch_size": rows}, f"graded batch {rows}")


def _breaks_something(spec: RunSpec, changes: Mapping[str, Any]) -> bool:
    """Tell whether the changed run could not start, though this one could."""
    try:
        found = impossible(with_changes(spec, changes))
    except ValidationError:
        return True
    return any(one not in impossible(spec) for one in found)


_Way = Callable[[RunSpec, OutOfMemorySpec], Rung | None]
_WAYS: Final[Mapping[Stage, tuple[_Way, ...]]] = {
    "load": (_qlora,),
    "train": (_smaller_batch, _checkpointing, _shorter, _qlora),
    "evaluate": (_smaller_evaluation, _shorter, _qlora),
    "score": (_smaller_grading, _shorter, _qlora),
}
"""What frees memory at each stage, the cheapest first."""
