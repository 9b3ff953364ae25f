"""Workers that have outlived their supervisor: most save and go, one that hangs is ended from here.

A worker leads a process group of its own and holds the run's `worker.lock`, with its number in it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

import psutil

from tui_ft.runs.folder import RunError, RunFolder, is_locked

_GONE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05


def orphan_of(folder: RunFolder) -> int:
    """Return the process that holds the worker's lock, or held it and left children that do.

    0 where nobody does; -1 where it is not known which: it is on another host, or of an older ftui.
    Only for a run without a supervisor: with one, its worker is no orphan.
    """
    if not is_locked(folder.worker_lock):
        return 0
    try:
        return int(folder.worker_lock.read_text())
    except (OSError, ValueError):
        return -1


def in_words(folder: RunFolder, pid: int) -> str:
    """Return how a person would name the orphan ``pid``: by number, and since when it is one."""
    number = f"process {pid}" if pid > 0 else "a process that is not on this machine"
    with contextlib.suppress(OSError):
        last = time.localtime(folder.status_file.stat().st_mtime)
        return f"{number}, without a supervisor since {time.strftime('%Y-%m-%d %H:%M:%S', last)}"
    return number


def end_orphan(folder: RunFolder) -> int:
    """End the orphan and all its children at once; return its number when they are gone.

    Raises:
        RunError: it is on another machine, another user's, or does not go.
    """
    pid = orphan_of(folder)
    if not pid:
        return 0
    # One that goes just now has closed its files already, and holds its lock for a moment more.
    look_until = time.monotonic() + _LOOK_SECONDS
    while not any(_has_open(one, folder.worker_lock) for one in _group(pid)):
        if not is_locked(folder.worker_lock):
            return pid  # it went by itself meanwhile
        if time.monotonic() > look_until:
            told = "holds its lock, and is not found on this machine: end it where it runs"
            raise RunError(f"a worker of {folder.id} {told}")
        time.sleep(_POLL_SECONDS)
        pid = orphan_of(folder) or pid
    try:
        _kill(pid)
    except PermissionError:
        raise RunError(f"the worker of {folder.id}, process {pid}, is another user's") from None
    deadline = time.monotonic() + _GONE_SECONDS
    while is_locked(folder.worker_lock):
        if time.monotonic() > deadline:
            told = "was killed and does not go: it waits for a driver or a disk"
            raise RunError(f"the worker of {folder.id}, process {pid}, {told}")
        time.sleep(_POLL_SECONDS)
    return pid


def _kill(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:  # it is gone, or has just begun and has no group of its own yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGKILL)


def _group(leader: int) -> list[psutil.Process]:
    """Return the processes of a group, and the one that will lead it once it has begun."""
    found = []
    for pid in psutil.pids() if leader > 1 else ():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if leader in (pid, os.getpgid(pid)):
                found.append(psutil.Process(pid))
    return found


def _has_open(process: psutil.Process, file: Path) -> bool:
    """Tell whether ``process`` is what it is taken for: numbers are given again."""
    with contextlib.suppress(psutil.Error):
        return any(Path(one.path) == file.resolve() for one in process.open_files())
    return False
