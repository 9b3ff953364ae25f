"""What a run is predicted to take of its GPU, kept with the run: it is compared at the end.

The dry run is made beside the run, once its longest row is known, at the lowest priority; nothing
waits for it.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import msgspec

from tui_ft import paths
from tui_ft.memory.dry_run import DryRunError, dry_runs
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.memory.question import Question
from tui_ft.runs.reward_models import reward_configs

if TYPE_CHECKING:
    from tui_ft.hardware import Gpu
    from tui_ft.runs.folder import RunFolder
    from tui_ft.spec import RunSpec


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What the dry run said of a run's peak; bytes.

    Attributes:
        reserved: None where it gave no answer.
        longest_row: tokens of the longest row, for which it was made, where it was known.
        problem: why there is no answer.
    """

    reserved: int | None
    longest_row: int | None
    problem: str = ""


def predict_behind(folder: RunFolder, spec: RunSpec, gpu: Gpu, longest_row: int | None) -> None:
    """Write `prediction.json` as soon as the dry run has answered; return at once."""

    def predict() -> None:
        found = _predicted(spec, gpu, longest_row)
        if found is not None:
            with contextlib.suppress(OSError):
                paths.write_atomically(folder.prediction_file, msgspec.json.encode(found))

    threading.Thread(target=predict, daemon=True, name="ftui-prediction").start()


def read_prediction(folder: RunFolder) -> Prediction | None:
    """Return what was predicted of a run, where something was."""
    try:
        return msgspec.json.decode(folder.prediction_file.read_bytes(), type=Prediction)
    except (OSError, msgspec.DecodeError):
        return None


def _predicted(spec: RunSpec, gpu: Gpu, longest_row: int | None) -> Prediction | None:
    config = model_facts(spec.model.name_or_path, spec.model.revision).config
    if config is None:
        return None
    step = step_of(
        spec,
        config,
        capability=gpu.compute_capability,
        longest=longest_row,
        reward_configs=reward_configs(spec),
    )
    try:
        (answer,) = dry_runs([Question(step=step)], gently=True)
    except DryRunError as error:
        return Prediction(reserved=None, longest_row=longest_row, problem=str(error))
    if answer.replayed is None:
        return Prediction(reserved=None, longest_row=longest_row, problem=answer.error or "")
    return Prediction(reserved=answer.replayed.reserved, longest_row=longest_row)
