"""How long runs took on this machine, and from that how long one will take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from tui_ft.memory.duration import (
    Duration,
    TimedRun,
    duration,
    peak_flops,
    step_flops,
    utilisation,
)
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.models import Architecture, ArchitectureError
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.spec import RunSpec, SpecError


def timed_runs() -> tuple[TimedRun, ...]:
    """Return every finished run on a GPU whose operations can be counted, the oldest first."""
    return tuple(found for folder in all_folders() for found in _timed(folder))


def run_duration(
    spec: RunSpec,
    architecture: Architecture,
    *,
    gpu: str,
    steps: int,
    mean_length: int,
    trainable_parameters: int,
) -> Duration | None:
    """Return how long a run takes on a GPU; None for a GPU whose peak is not known.

    Args:
        spec: the run.
        architecture: of its model.
        gpu: the GPU's name, as the driver says it.
        steps: optimizer steps.
        mean_length: tokens of a row on average, padding counted.
        trainable_parameters: of the adapter, or of the whole model.

    Raises:
        ValueError: the objective generates answers, whose time is not one of operations.
    """
    peak = peak_flops(gpu)
    if peak is None:
        return None
    flops = _flops_of_a_row(spec, architecture, mean_length, trainable_parameters)
    training = spec.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    return duration(flops * rows, steps, peak, utilisation(timed_runs(), spec.method.kind))


def _flops_of_a_row(
    spec: RunSpec, architecture: Architecture, length: int, trainable_parameters: int
) -> int:
    """Return the operations of training on one row, or one pair of them."""
    step = msgspec.structs.replace(step_of(spec, {}), batch=1, length=length)
    adapter = 0 if step.adapter is None else trainable_parameters
    return step_flops(step, architecture.forward_flops(length), adapter=adapter)


def _timed(folder: RunFolder) -> Iterator[TimedRun]:
    try:
        report: dict[str, Any] = json.loads(folder.report_file.read_text())
        spec = folder.spec()
        facts = model_facts(spec.model.name_or_path, spec.model.revision)
        found = _timed_by(report, spec, facts.architecture())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return
    except (RunError, SpecError, ArchitectureError):
        return
    if found is not None:
        yield found


def _timed_by(report: dict[str, Any], spec: RunSpec, architecture: Architecture) -> TimedRun | None:
    """Return what a report says of a run's time; None of one on the CPU or an unknown GPU."""
    peak = peak_flops(report["peak_memory"]["device"])
    plan = report["plan"]
    rows = report["steps"] * plan["effective_batch_size"]
    if peak is None or not report["peak_memory"]["reserved"] or rows <= 0:
        return None
    length = max(1, round(report["tokens"] / rows))
    flops = rows * _flops_of_a_row(spec, architecture, length, plan["trainable_parameters"])
    return TimedRun(
        method=spec.method.kind, flops=flops, seconds=report["seconds"], peak_flops=peak
    )
