"""What happened to a chain: which run was started for which stage, and how the whole ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

import msgspec

from tui_ft.chains.folder import ChainFolder
from tui_ft.runs.folder import RunError
from tui_ft.runs.journal import Appender
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


class Revised(_Event, frozen=True, kw_only=True, tag="revised"):
    """The file of the chain is to be another from here on.

    Attributes:
        digest: the SHA-256 of the other file, in hexadecimal.
    """

    digest: str


class Allowed(_Event, frozen=True, kw_only=True, tag="allowed"):
    """A person lets the run of a stage go on, whatever has changed since."""

    stage: str
    user: str


class Ended(_Event, frozen=True, kw_only=True, tag="ended"):
    """The chain's process has ended, and why."""

    state: Literal["finished", "stopped", "failed"]
    reason: str
    advice: tuple[str, ...] = ()


Event = Attended | Started | Resumed | Changed | Revised | Allowed | Ended


class Journal:
    """Appends what happens to a chain, and waits until the disk has it."""

    def __init__(self, folder: ChainFolder) -> None:
        self._lines = Appender(folder.events_file)

    def write(self, event: Event) -> None:
        """Append ``event``; on a full disk, once there is room again."""
        self._lines.write(msgspec.json.encode(event) + b"\n")
        self._lines.sync()

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._lines.close()


def note(folder: ChainFolder, events: Iterable[Event]) -> None:
    """Write down what a person has decided while no process is at work, all of it or nothing.

    Raises:
        RunError: it cannot be written.
    """
    try:
        lines = Appender(folder.events_file)
        lines.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        lost = lines.backlog
        lines.close()
    except OSError as error:
        raise RunError(f"cannot write {folder.events_file}: {error.strerror}") from None
    if lost:
        raise RunError(f"cannot write {folder.events_file}: make room on its disk")


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


def is_allowed(events: list[Event], stage: str) -> bool:
    """Tell whether the run of ``stage`` may go on whatever has changed since it was at work."""
    of_it = [
        one
        for one in events
        if isinstance(one, (Started, Resumed, Changed, Allowed)) and one.stage == stage
    ]
    return bool(of_it) and isinstance(of_it[-1], Allowed)
