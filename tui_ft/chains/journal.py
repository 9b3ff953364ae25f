"""What happened to a chain: which run was started for which stage, and how the whole ended."""

from __future__ import annotations

import os
import time
from typing import Literal

import msgspec

from tui_ft import paths
from tui_ft.chains.folder import ChainFolder
from tui_ft.runs.reader import LineTail


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened at ``t``, in Unix seconds."""

    t: float = msgspec.field(default_factory=time.time)


class Attended(_Event, frozen=True, kw_only=True, tag="attended"):
    """A process has taken the chain up."""

    host: str
    user: str
    pid: int


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """A run was started for a stage."""

    stage: str
    run: str


class Resumed(_Event, frozen=True, kw_only=True, tag="resumed"):
    """The run of a stage was taken up again."""

    stage: str
    run: str


class Changed(_Event, frozen=True, kw_only=True, tag="changed"):
    """A stage was changed by a person: it takes a new run."""

    stage: str
    user: str


class Ended(_Event, frozen=True, kw_only=True, tag="ended"):
    """The chain's process has ended, and why."""

    state: Literal["finished", "stopped", "failed"]
    reason: str
    advice: tuple[str, ...] = ()


Event = Attended | Started | Resumed | Changed | Ended


def append(folder: ChainFolder, event: Event) -> None:
    """Append ``event`` to the chain's journal.

    Raises:
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(folder.events_file, flags, paths.PRIVATE_FILE)
    try:
        os.write(descriptor, msgspec.json.encode(event) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: ChainFolder) -> list[Event]:
    """Return what happened so far; a line that was torn or is of a newer ftui is left out."""
    tail, found = LineTail(folder.events_file), []
    while lines := tail.read():
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Event))
            except msgspec.DecodeError:
                continue
    return found


def runs_of(events: list[Event]) -> dict[str, str]:
    """Return the run of each stage that has one."""
    runs: dict[str, str] = {}
    for event in events:
        if isinstance(event, Started):
            runs[event.stage] = event.run
        elif isinstance(event, Changed):
            runs.pop(event.stage, None)
    return runs
