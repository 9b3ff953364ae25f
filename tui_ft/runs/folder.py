"""The run folder: what lies where, and who may write it. It is the only truth about a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tui_ft import paths
from tui_ft.runs.place import Place, write_place

if TYPE_CHECKING:
    from tui_ft.spec import RunSpec  # takes 0.1 s to import, and lists of runs do without it

_LOCK_SECONDS = 2.0
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class RunError(Exception):
    """A run that cannot be found, started, resumed or removed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run. Its id is the folder's name."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id, unique under one `$FTUI_HOME`."""
        return self.path.name

    @property
    def spec_file(self) -> Path:
        """The RunSpec, frozen at launch."""
        return self.path / "run.yaml"

    @property
    def environment_file(self) -> Path:
        """Versions, driver, GPUs, host and the data's hash, as JSON."""
        return self.path / "environment.json"

    @property
    def prediction_file(self) -> Path:
        """What the dry run said of the run's peak memory, as JSON; on a GPU alone."""
        return self.path / "prediction.json"

    @property
    def events_file(self) -> Path:
        """The append-only log of events; the supervisor alone writes it."""
        return self.path / "events.jsonl"

    @property
    def control_file(self) -> Path:
        """Commands from people, append-only; anyone who may write the folder."""
        return self.path / "control.jsonl"

    @property
    def status_file(self) -> Path:
        """Summary of the events and heartbeat, rewritten by the supervisor every few seconds."""
        return self.path / "status.json"

    @property
    def lock_file(self) -> Path:
        """Held with flock by the supervisor while it lives."""
        return self.path / "lock"

    @property
    def worker_log(self) -> Path:
        """Everything the worker printed, tracebacks included."""
        return self.path / "worker.log"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor printed: empty unless it broke."""
        return self.path / "supervisor.log"

    @property
    def checkpoints_dir(self) -> Path:
        """Trainer checkpoints, one folder each."""
        return self.path / "checkpoints"

    @property
    def report_file(self) -> Path:
        """The outcome in figures, written at a finished run's end, as JSON."""
        return self.path / "report.json"

    def spec(self) -> RunSpec:
        """Return the run's RunSpec.

        Raises:
            SpecError: the file is missing or was damaged.
        """
        from tui_ft.spec import load_spec

        return load_spec(self.spec_file)

    def output_dir(self) -> Path:
        """Return where the trained weights go: `model/` after full fine-tuning, else `adapter/`."""
        from tui_ft.spec.methods import TRAINS_BASE

        return self.path / ("model" if self.spec().method.kind in TRAINS_BASE else "adapter")

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Return the whole checkpoints as (step, path), oldest first.

        A checkpoint is whole once `trainer_state.json` stands in it: the trainer writes it last.
        """
        found = []
        with contextlib.suppress(OSError):
            for entry in self.checkpoints_dir.iterdir():
                match = _CHECKPOINT.fullmatch(entry.name)
                if match and (entry / "trainer_state.json").is_file():
                    found.append((int(match[1]), entry))
        return sorted(found)

    def is_supervised(self) -> bool:
        """Tell whether a supervisor on this host holds the run's lock."""
        return is_locked(self.lock_file)


class Lockable(Protocol):
    """Something of which one process at a time takes care."""

    @property
    def id(self) -> str:
        """What it is called."""

    @property
    def lock_file(self) -> Path:
        """Held with flock by that process."""


def is_locked(file: Path) -> bool:
    """Tell whether a process on this host holds the lock ``file``."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def create(spec: RunSpec, place: Place | None = None) -> RunFolder:
    """Make a new run folder named after ``spec`` (`name`, `name-2`, …) and freeze the spec in it.

    Args:
        spec: the run.
        place: its place in a chain.

    Raises:
        RunError: the folder cannot be written.
    """
    from tui_ft.spec import dump_spec

    try:
        root = paths.make_private_dir(paths.runs_dir())
        folder = RunFolder(make_unique(root, spec.name))
        if place is not None:
            write_place(folder.path, place)
        paths.write_atomically(folder.spec_file, dump_spec(spec))
    except OSError as error:
        raise RunError(
            f"cannot write {paths.runs_dir()}: {error.strerror}. "
            "Make room, or set FTUI_HOME to a folder you may write"
        ) from None
    return folder


def find(run_id: str) -> RunFolder:
    """Return the folder of the run called ``run_id``, which may be a unique beginning of its id.

    Raises:
        RunError: there is none, or several begin so.
    """
    names = [folder.id for folder in all_folders()]
    if run_id in names:
        return RunFolder(paths.runs_dir() / run_id)
    matching = [name for name in names if run_id and name.startswith(run_id)]
    if len(matching) == 1:
        return RunFolder(paths.runs_dir() / matching[0])
    if matching:
        raise RunError(f"`{run_id}` could be any of: {', '.join(sorted(matching))}")
    raise RunError(f"there is no run `{run_id}` under {paths.runs_dir()}; `ftui runs` lists them")


def exactly(run_id: str) -> RunFolder:
    """Return the folder of the run called just so: what is done to a run must not hit its like.

    Raises:
        RunError: it is not there (any more).
    """
    folder = RunFolder(paths.runs_dir() / run_id)
    if not folder.spec_file.is_file():
        raise RunError(f"{run_id} is not there any more")
    return folder


def all_folders() -> list[RunFolder]:
    """Return every run folder, in no order. A folder without a spec is none."""
    try:
        entries = list(os.scandir(paths.runs_dir()))
    except OSError:
        return []
    return [
        RunFolder(Path(entry.path))
        for entry in entries
        if entry.is_dir() and Path(entry.path, "run.yaml").is_file()
    ]


def delete(folder: RunFolder) -> None:
    """Remove a run and all that came out of it.

    Raises:
        RunError: it is still supervised, or cannot be removed.
    """
    if folder.is_supervised():
        raise RunError(f"{folder.id} is still running: stop it first (`ftui stop {folder.id}`)")
    try:
        shutil.rmtree(folder.path)
    except OSError as error:
        raise RunError(f"cannot remove {folder.path}: {error.strerror}") from None


@contextlib.contextmanager
def hold_lock(folder: Lockable) -> Iterator[None]:
    """Hold the lock of a run, or of a chain.

    Raises:
        RunError: another process holds it.
    """
    descriptor = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        _lock_within(descriptor, _LOCK_SECONDS)
    except BlockingIOError:
        os.close(descriptor)
        raise RunError(f"{folder.id} is already running") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, seconds: float) -> None:
    """Lock, and try again for a while: whoever asks `is_supervised` holds it for an instant."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def make_unique(root: Path, name: str) -> Path:
    """Make the first free folder of name, name-2, …: mkdir is the arbiter between two launches."""
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(mode=paths.PRIVATE_DIR)
        except FileExistsError:
            number += 1
        else:
            return path
