"""Start runs and take them up again. The run is a process of its own and needs nobody."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tui_ft import paths
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.hub.outputs import folder_of
from tui_ft.runs.endings import log_tail
from tui_ft.runs.folder import RunError, RunFolder, create
from tui_ft.runs.registry import read_status, summary_of
from tui_ft.runs.worker_process import TRAIN_ENTRY

if TYPE_CHECKING:
    from tui_ft.runs.changes import Change
    from tui_ft.runs.place import Place
    from tui_ft.spec import RunSpec

_FIRST_WORD_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.02


def launch(spec: RunSpec, *, worker: str = TRAIN_ENTRY, place: Place | None = None) -> RunFolder:
    """Write the run's folder, start its supervisor, and return the folder.

    Relative paths in ``spec`` are those of the present working directory; they are frozen as
    absolute ones.

    Args:
        spec: the run.
        worker: module:function of its worker.
        place: its place in a chain.

    Raises:
        RunError: the folder cannot be written or the supervisor cannot be started.
    """
    folder = create(with_absolute_paths(spec, Path.cwd()), place)
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
    from tui_ft.runs.changes import refuse_unless_told

    summary = summary_of(folder)
    if summary.is_live:
        raise RunError(f"{folder.id} is already {summary.state}; `ftui watch {folder.id}` shows it")
    if summary.state == "finished":
        raise RunError(f"{folder.id} has finished: there is nothing left to do in it")
    changes = refuse_unless_told(folder, anyway=anyway)
    _start_supervisor(folder, worker, attempts=summary.attempt)
    return changes


def with_absolute_paths(spec: RunSpec, base: Path) -> RunSpec:
    """Return ``spec`` with its local paths made absolute, so that it means the same anywhere."""
    from tui_ft.runs.rewards_check import with_absolute_rewards

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
    offset = folder.control_file.stat().st_size if folder.control_file.exists() else 0
    # -P: a `torch.py` in the folder where one happens to stand is not to be imported.
    command = [
        *(sys.executable, "-P", "-m", "tui_ft.runs.supervisor", str(folder.path)),
        *("--worker", worker, "--control-offset", str(offset)),
    ]
    try:
        with private_log(folder.supervisor_log) as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(f"cannot start the supervisor of {folder.id}: {error.strerror}") from None
    # Somebody has to collect its exit status, or it stays a zombie for as long as the app lives.
    threading.Thread(target=process.wait, daemon=True, name="ftui-reaper").start()
    _await_first_word(folder, process, attempts)


def _await_first_word(folder: RunFolder, process: subprocess.Popen[bytes], attempts: int) -> None:
    """Return once the supervisor has taken the run up, so that whoever looks next sees it live."""
    deadline = time.monotonic() + _FIRST_WORD_SECONDS
    while time.monotonic() < deadline:
        status = read_status(folder)
        if status is not None and status.attempt > attempts:
            return
        if process.poll() is not None:
            said = log_tail(folder.supervisor_log) or f"exit code {process.returncode}"
            raise RunError(f"the supervisor of {folder.id} did not start: {said}")
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def private_log(path: Path) -> Iterator[int]:
    """Open ``path`` for appending, readable by the user alone; give its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
