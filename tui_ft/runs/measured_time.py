"""How long finished runs took, beside the operations that they did: what this machine reaches."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from tui_ft.memory.duration import TimedRun, peak_flops, step_flops
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.models import architecture_of
from tui_ft.models.targets import AdapterError
from tui_ft.models.trainable import trainable_parameters
from tui_ft.models.values import ArchitectureError
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.registry import read_status
from tui_ft.spec import SpecError


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
        peak = peak_flops(plan["device"])
        if peak is not None and seconds > 0:
            flops = _flops(folder, plan["train_tokens"] // plan["train_rows"])
            yield TimedRun(
                method=folder.spec().method.kind,
                flops=flops * report["steps"],
                seconds=seconds,
                peak_flops=peak,
            )
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return
    except (RunError, SpecError, ArchitectureError, AdapterError):
        return


def _flops(folder: RunFolder, mean_length: int) -> int:
    """Return the operations of one optimizer step, of rows of the mean length.

    Raises:
        ValueError: the model is not known, or answers are generated.
    """
    spec = folder.spec()
    config = model_facts(spec.model.name_or_path, spec.model.revision).config
    if config is None:
        raise ValueError(spec.model.name_or_path)
    step = msgspec.structs.replace(step_of(spec, config), length=mean_length)
    model = architecture_of(config)
    adapter = 0 if step.adapter is None else trainable_parameters(model, step.adapter)
    passes = spec.training.gradient_accumulation_steps
    return step_flops(step, model.forward_flops(mean_length), adapter=adapter, passes=passes)
