"""The run folder: what lies where, and who may write it. It is the only truth about a run."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from tui_ft import paths
from tui_ft.runs.place import Place, write_place

if TYPE_CHECKING:
    from tui_ft.spec import RunSpec  # takes 0.1 s to import, and lists of runs do without it

_LOCK_SECONDS = 2.0
ENDING_SECONDS = 30.0
"""A process that has said its last word lets go of its lock by then, on a busy server too."""
WORKER_LOCK = "worker.lock"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class RunError(Exception):
    """A run that cannot be found, started, resumed or removed; the message says what to do."""


class LockedError(RunError):
    """Another process takes care of it."""


@dataclass(frozen=True, slots=True)
class AttendedFolder:
    """A folder of which one process at a time takes care: a run's, or a chain's.

    The process holds the lock while it lives, and alone appends to the events. Where their last
    word is not that it has ended, and nobody holds the lock, the process is gone.
    """

    path: Path

    LOG: ClassVar[str] = "log"
    """The name of the file for what the process prints."""

    @property
    def id(self) -> str:
        """What it is called: the folder's name, unique beside its like."""
        return self.path.name

    @property
    def events_file(self) -> Path:
        """The append-only log of events."""
        return self.path / "events.jsonl"

    @property
    def control_file(self) -> Path:
        """Commands from people, append-only; anyone who may write the folder."""
        return self.path / "control.jsonl"

    @property
    def lock_file(self) -> Path:
        """Held with flock by the process while it lives."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """What the process printed: empty unless it broke."""
        return self.path / self.LOG

    def beat(self) -> None:
        """Let other hosts see, where the lock says nothing, that the process is there."""
        with contextlib.suppress(OSError):
            os.utime(self.lock_file)

    def last_beat(self) -> float:
        """Return when the process was there last, in Unix seconds; 0 where it never was."""
        try:
            return self.lock_file.stat().st_mtime
        except OSError:
            return 0.0

    def is_attended(self) -> bool:
        """Tell whether a process on this host holds the lock."""
        return is_locked(self.lock_file)


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


_Folder = TypeVar("_Folder", bound=AttendedFolder)


@dataclass(frozen=True, slots=True)
class RunFolder(AttendedFolder):
    """The paths of one run. Its process is the supervisor."""

    LOG: ClassVar[str] = "supervisor.log"

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
    def status_file(self) -> Path:
        """Summary of the events and heartbeat, rewritten by the supervisor every few seconds."""
        return self.path / "status.json"

    @property
    def worker_lock(self) -> Path:
        """Held with flock by the worker, which may outlive its supervisor to save."""
        return self.path / WORKER_LOCK

    @property
    def worker_log(self) -> Path:
        """Everything the worker printed, tracebacks included."""
        return self.path / "worker.log"

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


def create(spec: RunSpec, place: Place | None = None) -> RunFolder:
    """Make a new run folder named after ``spec`` (`name`, `name-2`, …) and freeze the spec in it.

    Args:
        spec: the run.
        place: its place in a chain.

    Raises:
        RunError: the folder cannot be written.
    """
    from tui_ft.spec import dump_spec

    with new_folder(paths.runs_dir(), spec.name) as path:
        folder = RunFolder(path)
        if place is not None:
            write_place(path, place)
        paths.write_atomically(folder.spec_file, dump_spec(spec))
    return folder


@contextlib.contextmanager
def new_folder(root: Path, name: str) -> Iterator[Path]:
    """Make the first free folder of name, name-2, …; it goes again where it cannot be filled.

    `mkdir` is the arbiter between two who begin at once.

    Raises:
        RunError: it cannot be written.
    """
    path = None
    try:
        paths.make_private_dir(root)
        path = _make_unique(root, name)
        yield path
    except OSError as error:
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        raise RunError(
            f"cannot write {root}: {error.strerror}. "
            "Make room, or set FTUI_HOME to a folder you may write"
        ) from None


def find(run_id: str) -> RunFolder:
    """Return the folder of the run called ``run_id``, which may be a unique beginning of its id.

    Raises:
        RunError: there is none, or several begin so.
    """
    none = f"there is no run `{run_id}` under {paths.runs_dir()}; `ftui runs` lists them"
    if run_id in unreadable(paths.runs_dir()):  # one that begins so is not meant
        closed = paths.runs_dir() / run_id
        raise RunError(f"{closed} cannot be read: it is another user's, or was closed")
    return the_one(all_folders(), run_id, none)


def the_one(folders: Sequence[_Folder], name: str, none: str) -> _Folder:
    """Return the folder called ``name``, which may be a unique beginning of its id.

    Args:
        folders: those there are.
        name: as a person wrote it.
        none: what is said where there is no such folder.

    Raises:
        RunError: there is none, or several begin so.
    """
    exact = [one for one in folders if one.id == name]
    matching = exact or [one for one in folders if name and one.id.startswith(name)]
    if not matching:
        raise RunError(none)
    if len(matching) > 1:
        raise RunError(f"`{name}` could be any of: {', '.join(sorted(o.id for o in matching))}")
    return matching[0]


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
    """Return every run folder that can be read, in no order. A folder without a spec is none."""
    return [RunFolder(path) for path in folders_with(paths.runs_dir(), "run.yaml")]


def folders_with(root: Path, name: str) -> list[Path]:
    """Return the folders in ``root`` that hold a file ``name``; what cannot be read is left out."""
    found = []
    for path in _folders_in(root):
        with contextlib.suppress(OSError):  # closed to us, or somebody deletes it just now
            if (path / name).is_file():
                found.append(path)
    return found


def unreadable(root: Path) -> list[str]:
    """Return the names of the folders in ``root`` that are closed to this user."""
    return [path.name for path in _folders_in(root) if not os.access(path, os.R_OK | os.X_OK)]


def _folders_in(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return []


def delete(folder: AttendedFolder, stop: str = "ftui stop") -> None:
    """Remove a run, or a chain, with all that is in its folder.

    Its lock is held meanwhile, so nobody takes it up again. A process that has written its last
    word may hold it for another moment: that is waited for.

    Args:
        folder: what is removed.
        stop: the command that would stop it.

    Raises:
        RunError: a process is at work in it, its worker outlives its supervisor to save, or it
            cannot be removed.
    """
    try:
        with hold_lock(folder, ENDING_SECONDS):
            if is_locked(folder.path / WORKER_LOCK):
                told = "lost its supervisor, and its worker still saves what it has learned"
                kill = f"if it hangs, `ftui kill {folder.id}` ends it"
                raise RunError(f"{folder.id} {told}: try again in a moment; {kill}")
            _empty(folder.path, but=folder.lock_file)
        shutil.rmtree(folder.path)
    except FileNotFoundError:
        raise RunError(f"{folder.id} is not there any more") from None
    except OSError as error:
        raise RunError(f"cannot remove {folder.path}: {error.strerror}") from None
    except LockedError:
        told = f"stop it first (`{stop} {folder.id}`)"
        raise RunError(f"{folder.id} is still running: {told}") from None


def size_of(folders: Iterable[AttendedFolder]) -> int:
    """Return what lies in ``folders``, in bytes; what vanishes or cannot be read counts nothing."""
    total = 0
    for folder in folders:
        for at, _, names in os.walk(folder.path):
            for name in names:
                with contextlib.suppress(OSError):
                    total += Path(at, name).lstat().st_size
    return total


def _empty(path: Path, but: Path) -> None:
    """Remove all but one file of a folder: NFS keeps a folder for as long as that is open."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != but:
            entry.unlink()


@contextlib.contextmanager
def hold_lock(folder: AttendedFolder, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of a run, or of a chain.

    Args:
        folder: of what.
        seconds: how long whoever holds it is waited for.

    Raises:
        LockedError: another process holds it.
        OSError: there is no such folder, or it cannot be written.
    """
    with _holding(folder.lock_file, f"{folder.id} is already running", seconds):
        yield


@contextlib.contextmanager
def one_at_a_time(folder: AttendedFolder) -> Iterator[None]:
    """Let one person at a time decide how a run, or a chain, is taken up again.

    Raises:
        LockedError: somebody else does so just now.
        RunError: the folder is not there, or cannot be written.
    """
    taken = f"{folder.id} is being resumed just now"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_holding(folder.path / "resume.lock", taken))
        except FileNotFoundError:
            raise RunError(f"{folder.id} is not there any more") from None
        except OSError as error:
            raise RunError(f"cannot write {folder.path}: {error.strerror}") from None
        yield


@contextlib.contextmanager
def _holding(file: Path, taken: str, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        lock_within(descriptor, seconds)
    except BlockingIOError:
        os.close(descriptor)
        raise LockedError(taken) from None
    try:
        yield
    finally:
        os.close(descriptor)


def lock_within(descriptor: int, seconds: float) -> None:
    """Lock, and try again for a while: whoever asks `is_locked` holds it for an instant.

    Raises:
        BlockingIOError: somebody else holds it still.
    """
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


def _make_unique(root: Path, name: str) -> Path:
    for number in itertools.count(1):
        path = root / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=paths.PRIVATE_DIR)
            return path
    raise AssertionError("unreachable")
