"""Tell a live run to stop, to save a checkpoint or to end at once, from any host that sees it.

A command is one line appended to `control.jsonl`; the supervisor reads it within a second.
"""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from tui_ft import paths
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.orphans import end_orphan
from tui_ft.runs.registry import summary_of

Command = Literal["stop", "checkpoint", "kill"]


class CommandLine(msgspec.Struct, frozen=True):
    """One line of `control.jsonl`: what is asked, by whom and when (Unix seconds)."""

    command: Command
    user: str
    t: float = msgspec.field(default_factory=time.time)


def request_stop(folder: RunFolder) -> None:
    """Ask the run to save a checkpoint and stop; it can be resumed.

    Raises:
        RunError: it is not running, or its folder cannot be written.
    """
    _request(folder, "stop")


def request_checkpoint(folder: RunFolder) -> None:
    """Ask the run to save a checkpoint after the step it is at, and go on; raises as above."""
    _request(folder, "checkpoint")


def request_kill(folder: RunFolder) -> None:
    """Ask for the worker's end at once; what was done since the last checkpoint is lost.

    A worker that has lost its supervisor is ended here and now.

    Raises:
        RunError: nothing of it is at work, its folder cannot be written, or the worker is not to be
            reached from here.
    """
    if summary_of(folder).is_live or not end_orphan(folder):
        _request(folder, "kill")


def _request(folder: RunFolder, command: Command) -> None:
    summary = summary_of(folder)
    if not summary.is_live:
        told = f"{folder.id} is not running: it is {summary.state}"
        if summary.orphan:
            told += f". Its worker saves what it has learned: `ftui kill {folder.id}` ends it"
        raise RunError(told)
    append_command(folder.control_file, command)


def append_command(file: Path, command: Command) -> None:
    """Append a command to ``file``, in the user's name.

    Raises:
        RunError: it cannot be written.
    """
    line = msgspec.json.encode(CommandLine(command, user_name())) + b"\n"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, paths.PRIVATE_FILE)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from None


def user_name() -> str:
    """Return who is asking; a container may have a user without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
