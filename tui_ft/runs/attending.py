"""What the process that takes care of a folder has in common, be it of a run or of a chain.

It is started in a session of its own and outlives terminals; it holds the folder's lock, hears
what people and the system want of it, and whatever befalls it, it ends with a reason.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

import msgspec

from tui_ft.runs.background import start_in_background
from tui_ft.runs.control import CommandLine
from tui_ft.runs.folder import ENDING_SECONDS, AttendedFolder, RunError, hold_lock
from tui_ft.runs.reader import LineTail
from tui_ft.runs.worker_process import TRAIN_ENTRY
from tui_ft.spec import SpecError

_SYSTEM: Final = "the system (SIGTERM)"


class Orders:
    """What the process is told: by people through the folder, by the system through SIGTERM.

    Attributes:
        stop: who wants it to save and stop, if anybody does.
        kill: who wants its end at once.
    """

    def __init__(self, folder: AttendedFolder, offset: int) -> None:
        """Listen from now on; commands before ``offset``, in bytes, are past."""
        self.stop: str | None = None
        self.kill: str | None = None
        self._lines = LineTail(folder.control_file, offset)
        self._signals = 0
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)

    @property
    def end(self) -> str | None:
        """Who wants it to end, in one way or the other."""
        return self.stop or self.kill

    def read(self) -> list[CommandLine]:
        """Return what is new. Two signals at once are meant to be quick."""
        new = [said for line in self._lines.read() if (said := _decode(line)) is not None]
        signals, self._signals = self._signals, 0
        if signals:
            new.append(CommandLine("kill" if signals > 1 else "stop", _SYSTEM))
        for said in new:
            if said.command == "stop":
                self.stop = said.user
            elif said.command == "kill":
                self.kill = said.user
        return new

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1


class Attendant(Protocol):
    """A process's work on a folder, from its first event to its last."""

    def run(self) -> str:
        """Do it; return the state in which it ended."""


def attend(
    module: str,
    begin: Callable[[Path, str, int], Attendant],
    arguments: Sequence[str] | None,
) -> int:
    """Take care of the folder that the command line names; return the exit code.

    Args:
        module: what is run, as `python -m` calls it.
        begin: makes the attendant from folder, worker and offset, once the lock is held.
        arguments: the command line; this process's when None.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worker", default=TRAIN_ENTRY, help="module:function of the worker")
    parser.add_argument("--control-offset", type=int, default=0, help="commands before are past")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        # The one before may have said its last word, and not be gone yet.
        with hold_lock(AttendedFolder(options.folder), ENDING_SECONDS):
            state = begin(options.folder, options.worker, options.control_offset).run()
    except (RunError, OSError) as error:
        say_in_log(str(error))
        return 1
    return 0 if state in ("finished", "stopped") else 1


def begin_to_attend(
    module: str, folder: AttendedFolder, worker: str, *, name: str, has_begun: Callable[[], bool]
) -> None:
    """Start the process that takes care of ``folder``; return when it is at work.

    Args:
        module: what it runs; it calls `attend`.
        folder: what it takes care of.
        worker: module:function of the worker.
        name: what it is called in an error.
        has_begun: whether it has said its first word.

    Raises:
        RunError: it cannot be started, or ended before that.
    """
    control = folder.control_file
    offset = control.stat().st_size if control.exists() else 0
    start_in_background(
        module,
        folder.path,
        ("--worker", worker, "--control-offset", str(offset)),
        log=folder.log,
        name=f"{name} of {folder.id}",
        has_begun=has_begun,
    )


def say_in_log(words: str) -> None:
    """Print ``words`` into the folder's log; on a full disk they are lost, and nothing else."""
    with contextlib.suppress(OSError):
        print(words, file=sys.stderr)  # noqa: T201


def why_it_broke(
    error: Exception, name: str, folder: AttendedFolder
) -> tuple[str, tuple[str, ...]]:
    """Return reason and advice of an end by ``error``; a fault of ours leaves its trace.

    Args:
        error: what ended the work.
        name: what the process is called.
        folder: what it takes care of.
    """
    if isinstance(error, (SpecError, RunError)):
        return str(error), ()
    sys.excepthook(type(error), error, error.__traceback__)
    reason = f"{name} broke: {type(error).__name__}: {error}"
    return reason, (f"please report it, with {folder.log}",)


def _decode(line: bytes) -> CommandLine | None:
    try:
        return msgspec.json.decode(line, type=CommandLine)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
