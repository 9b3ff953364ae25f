"""The steps a run has taken down its ladder: kept beside `run.yaml`, which stays as it was.

`rungs.json` holds each step with what it changed; whoever wants the run as it is trained now, and
not as it was launched, asks `as_trained`. A resumed run goes on with the steps taken.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Final

import msgspec

from tui_ft import paths
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.spec import RunSpec
from tui_ft.spec.ladder import Rung, Stage, climbed, next_rung

FILE: Final = "rungs.json"
_STAGES: Final[dict[ev.PhaseName, Stage]] = {
    "load": "load",
    "train": "train",
    "evaluate": "evaluate",
    "score": "score",
}


def rungs_of(folder: RunFolder) -> tuple[Rung, ...]:
    """Return the steps the run has taken, the first first."""
    try:
        return msgspec.json.decode((folder.path / FILE).read_bytes(), type=tuple[Rung, ...])
    except (OSError, msgspec.MsgspecError):
        return ()


def as_trained(folder: RunFolder) -> RunSpec:
    """Return the run with the steps it has taken.

    Raises:
        SpecError: `run.yaml` is missing or was damaged.
    """
    return climbed(folder.spec(), rungs_of(folder))


def step_down(
    folder: RunFolder, ended: ev.Ended, phase: ev.Phase | None, *, on_gpu: bool
) -> Rung | None:
    """Take and record the next step for a run that ended so; None where there is none to take.

    Host memory is the run's own to save on the CPU alone: beside a GPU it is other things that
    fill it.

    Raises:
        OSError: the step cannot be written.
    """
    if ended.cause != "gpu_memory" and (ended.cause != "host_memory" or on_gpu):
        return None
    stage = _STAGES.get(phase.phase) if phase else None
    rung = None if stage is None else next_rung(as_trained(folder), stage)
    if rung is None:
        return None
    taken = rungs_of(folder)
    rung = Rung(rung.changes, rung.words, rung.begins_anew, rung.was, ended.reason)
    paths.write_atomically(folder.path / FILE, msgspec.json.encode([*taken, rung]))
    if rung.begins_anew:
        set_aside(folder, len(taken) + 1)
    return rung


def set_aside(folder: RunFolder, number: int) -> None:
    """Keep what was trained before step ``number`` out of the way of what is trained now."""
    with contextlib.suppress(FileNotFoundError):
        folder.checkpoints_dir.rename(aside(folder, number))


def remove_set_aside(folder: RunFolder) -> None:
    """Remove what was left aside: the run has finished, and keeps no checkpoints."""
    for number in range(1, len(rungs_of(folder)) + 1):
        shutil.rmtree(aside(folder, number), ignore_errors=True)


def aside(folder: RunFolder, number: int) -> Path:
    """Return where the checkpoints from before step ``number`` are."""
    return folder.path / f"checkpoints-before-rung-{number}"
