"""Peak memory of finished runs on GPUs, beside what the dry run says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tui_ft.memory.calibration import Compared
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.spec import SpecError


@dataclass(frozen=True, slots=True)
class _Measured:
    run: str
    step: Step
    reserved: int


def compare_runs() -> tuple[Compared, ...]:
    """Return every finished run whose peak on a GPU is known, the oldest first.

    Raises:
        DryRunError: the process of the dry runs died or took too long.
    """
    measured = [found for folder in all_folders() for found in _measured(folder)]
    answers = dry_runs([Question(step=one.step) for one in measured], timeout=3600)
    return tuple(
        Compared(
            run=one.run,
            predicted=None if answer.replayed is None else answer.replayed.reserved,
            measured=one.reserved,
        )
        for one, answer in zip(measured, answers, strict=True)
    )


def _measured(folder: RunFolder) -> Iterator[_Measured]:
    try:
        report = json.loads(folder.report_file.read_text())
        reserved = (report.get("peak_memory") or {}).get("reserved")
        if not reserved:
            return  # it ran on the CPU, or never came to its end
        spec = folder.spec()
        config = model_facts(spec.model.name_or_path, spec.model.revision).config
        if config is not None:
            longest = (report.get("plan") or {}).get("longest_row")
            yield _Measured(folder.id, step_of(spec, config, longest=longest), reserved)
    except (OSError, ValueError, AttributeError, RunError, SpecError):
        return
