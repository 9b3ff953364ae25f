"""Peak memory of finished runs on GPUs, beside what the dry run says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tui_ft.memory.calibration import Compared, Correction, correction
from tui_ft.memory.dry_run import dry_runs
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.memory.question import Question
from tui_ft.memory.step import Step
from tui_ft.runs.folder import RunError, RunFolder, all_folders
from tui_ft.runs.ladder import as_trained
from tui_ft.runs.prediction import Prediction, read_prediction
from tui_ft.spec import RunSpec, SpecError


@dataclass(frozen=True, slots=True)
class _Measured:
    """A finished run on a GPU: `predicted` is what was kept with it, None where nothing was."""

    folder: RunFolder
    spec: RunSpec
    longest_row: int | None
    reserved: int
    predicted: Prediction | None

    def compared(self, predicted: int | None) -> Compared:
        return Compared(
            run=self.folder.id,
            method=self.spec.method.kind,
            predicted=predicted,
            measured=self.reserved,
        )


def compare_runs() -> tuple[Compared, ...]:
    """Return every finished run whose peak on a GPU is known, the oldest first.

    Runs that have no prediction of their own, such as older ones, are replayed now.

    Raises:
        DryRunError: the process of the dry runs died or took too long.
    """
    measured = [found for folder in all_folders() for found in _measured(folder)]
    steps = {one.folder: _step(one) for one in measured if one.predicted is None}
    asked = [(folder, step) for folder, step in steps.items() if step is not None]
    answers = dry_runs([Question(step=step) for _, step in asked], timeout=3600)
    found = {
        folder: None if answer.replayed is None else answer.replayed.reserved
        for (folder, _), answer in zip(asked, answers, strict=True)
    }
    return tuple(
        one.compared(found.get(one.folder) if one.predicted is None else one.predicted.reserved)
        for one in measured
        if one.predicted is not None or steps[one.folder] is not None
    )


def machine_correction(method: str | None = None) -> Correction:
    """Return what this machine's finished runs say of its figures, without a new dry run.

    Args:
        method: the kind of method that a figure is for.
    """
    measured = [found for folder in all_folders() for found in _measured(folder)]
    known = [one.compared(one.predicted.reserved) for one in measured if one.predicted is not None]
    return correction(known, method)


def _measured(folder: RunFolder) -> Iterator[_Measured]:
    try:
        report = json.loads(folder.report_file.read_text())
        reserved = (report.get("peak_memory") or {}).get("reserved")
        if reserved:  # else it ran on the CPU, or never came to its end
            longest = (report.get("plan") or {}).get("longest_row")
            yield _Measured(folder, as_trained(folder), longest, reserved, read_prediction(folder))
    except (OSError, ValueError, AttributeError, RunError, SpecError):
        return


def _step(one: _Measured) -> Step | None:
    """Return the step that a run made; None where its model's configuration is gone."""
    config = model_facts(one.spec.model.name_or_path, one.spec.model.revision).config
    return None if config is None else step_of(one.spec, config, longest=one.longest_row)
