"""How long finished runs took, beside the operations that they did: what this machine reaches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tui_ft.memory.duration import TimedRun, peak_flops, step_flops
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.models import ArchitectureError
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.ladder import as_trained
from tui_ft.runs.registry import read_status
from tui_ft.spec import RunSpec, SpecError


def timed_runs() -> tuple[TimedRun, ...]:
    """Return the runs of this `$FTUI_HOME` that a GPU of a known peak did in one go."""
    return tuple(found for folder in all_folders() for found in _timed(folder))


def _timed(folder: RunFolder) -> Iterator[TimedRun]:
    status = read_status(folder)
    if status is None or status.attempt != 1:
        return  # the report's seconds are those of the last attempt alone
    try:
        report = json.loads(folder.report_file.read_text())
        plan, seconds = report["plan"], report["seconds"]
        # Of each GPU: they work side by side.
        all_rows = report["steps"] * plan["effective_batch_size"]
        rows = all_rows // plan.get("processes", 1)
        peak = peak_flops(plan["device"])
        if peak is not None and seconds > 0:
            spec = as_trained(folder)
            flops = rows * _flops_of_a_row(spec, report["tokens"] // all_rows, plan)
            yield TimedRun(method=spec.method.kind, flops=flops, seconds=seconds, peak_flops=peak)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return
    except (RunError, SpecError, ArchitectureError):
        return


def _flops_of_a_row(spec: RunSpec, length: int, plan: Mapping[str, Any]) -> int:
    """Return the operations of training on one row, or pair, of so many tokens, padding counted.

    Raises:
        ArchitectureError: the model is not known.
        ValueError: the objective generates answers, whose time is not one of operations.
    """
    facts = model_facts(spec.model.name_or_path, spec.model.revision)
    step = msgspec.structs.replace(step_of(spec, facts.config or {}), batch=1, length=length)
    adapter = 0 if step.adapter is None else plan["trainable_parameters"]
    return step_flops(step, facts.architecture().forward_flops(length), adapter=adapter)
