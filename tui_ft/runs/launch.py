"""Start runs and take them up again. The run is a process of its own and needs nobody."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tui_ft import paths
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.hub.outputs import folder_of
from tui_ft.runs.folder import RunError, RunFolder, create, one_at_a_time
from tui_ft.runs.registry import read_status, summary_of, where_seen
from tui_ft.runs.worker_process import TRAIN_ENTRY

if TYPE_CHECKING:
    from tui_ft.runs.changes import Change
    from tui_ft.runs.place import Place
    from tui_ft.spec import RunSpec


def launch(spec: RunSpec, *, worker: str = TRAIN_ENTRY, place: Place | None = None) -> RunFolder:
    """Write the run's folder, start its supervisor, and return the folder.

    Relative paths in ``spec`` are those of the present working directory; they are frozen as
    absolute ones. Where an adapter is trained further, the method is frozen as the adapter has it.

    Args:
        spec: the run.
        worker: module:function of its worker.
        place: its place in a chain.

    Raises:
        RunError: the folder cannot be written or the supervisor cannot be started.
    """
    from tui_ft.hub.continuing import as_continued  # knows what a run is: the app opens without it

    folder = create(as_continued(with_absolute_paths(spec, Path.cwd())), place)
    _start_supervisor(folder, worker, attempts=0)
    return folder


def resume(
    folder: RunFolder, *, anyway: bool = False, worker: str = TRAIN_ENTRY
) -> tuple[Change, ...]:
    """Take a stopped, failed or crashed run up from its newest checkpoint.

    Args:
        folder: the run's.
        anyway: also on other data than before.

    Returns:
        What has changed since it was last at work.

    Raises:
        ChangedError: too much has changed since.
        RunError: it is at work, it has finished, or the supervisor cannot be started.
    """
    with one_at_a_time(folder):
        return _resume(folder, anyway=anyway, worker=worker)


def _resume(folder: RunFolder, *, anyway: bool, worker: str) -> tuple[Change, ...]:
    from tui_ft.runs.changes import refuse_unless_told

    summary = summary_of(folder)
    if summary.is_live:
        there = where_seen(folder, summary)
        told = f"{folder.id} is already {summary.state}{there}"
        raise RunError(f"{told}; `ftui watch {folder.id}` shows it")
    if summary.state == "finished":
        raise RunError(f"{folder.id} has finished: there is nothing left to do in it")
    changes = refuse_unless_told(folder, anyway=anyway)
    _start_supervisor(folder, worker, attempts=summary.attempt)
    return changes


def with_absolute_paths(spec: RunSpec, base: Path) -> RunSpec:
    """Return ``spec`` with its local paths made absolute, so that it means the same anywhere."""
    from tui_ft.runs.checks.rewards import with_absolute_rewards

    def absolute(path: str) -> str:
        return os.path.normpath(base / paths.expand(path))

    def file_or_id(path: str) -> str:
        there = absolute(path)
        return path if not Path(there).exists() and is_dataset_id(path) else there

    mix = spec.data.mix
    data = spec.data.model_copy(
        update={
            "train": file_or_id(spec.data.train),
            "eval": None if spec.data.eval is None else file_or_id(spec.data.eval),
            "mix": mix and mix.model_copy(update={"train": absolute(mix.train)}),
        }
    )
    from tui_ft.spec.chat_templates import SHIPPED

    model = spec.model
    folder = os.path.normpath(base / folder_of(model.name_or_path))
    if Path(folder).exists():  # else it is an id on the Hub
        model = model.model_copy(update={"name_or_path": folder})
    if model.chat_template is not None and model.chat_template not in SHIPPED:
        model = model.model_copy(update={"chat_template": absolute(model.chat_template)})
    moved = spec.model_copy(update={"data": data, "model": model})
    return with_absolute_rewards(moved, absolute)


def _start_supervisor(folder: RunFolder, worker: str, attempts: int) -> None:
    from tui_ft.runs.attending import begin_to_attend

    before = read_status(folder)

    def has_begun() -> bool:
        """Tell whether it has said anything: it may have to wait before its attempt begins."""
        status = read_status(folder)
        is_newer = before is None or (status is not None and status.heartbeat > before.heartbeat)
        return status is not None and (status.attempt > attempts or is_newer)

    module = "tui_ft.runs.supervisor"
    begin_to_attend(module, folder, worker, name="the supervisor", has_begun=has_begun)
