"""Who may use which GPU: runs of one `$FTUI_HOME` queue up in the order in which they came.

One ticket file for each run that waits for or holds GPUs, locked with flock by its supervisor for
as long as that lives: a ticket nobody holds is void, so a crash frees its GPUs by itself. A short
mutex makes every look at the queue whole. Locks of flock hold between the processes of one host,
which is as far as its GPUs reach; the queue's folder carries the host's name for that reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui_ft import paths


class Ticket(msgspec.Struct, frozen=True):
    """A place in the queue.

    Attributes:
        wanted: UUIDs of the GPUs asked for; empty when any will do.
        granted: UUIDs of the GPUs it holds; empty while it waits.
        count: how many it takes, where any will do.
    """

    run_id: str
    wanted: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """What stands between a run and its GPUs: the runs that come first, and the GPUs they take."""

    behind: tuple[str, ...]
    gpus: tuple[str, ...]


class GpuQueue:
    """One run's place in the queue. Use as a context manager: leaving gives the GPUs back."""

    def __init__(
        self,
        run_id: str,
        wanted: Sequence[str] = (),
        folder: Path | None = None,
        count: int = 1,
    ) -> None:
        root = folder or paths.leases_dir() / socket.gethostname()
        self._folder = paths.make_private_dir(root)
        self._ticket = Ticket(run_id, tuple(wanted), count=count)
        self._descriptor = -1
        self._path = Path()

    def __enter__(self) -> GpuQueue:
        """Join the end of the queue."""
        with _mutex(self._folder):
            # The mutex makes names unique and their order that of arrival, also within one tick.
            newest = max((_arrival(p) for p in self._folder.glob("*.ticket")), default=0)
            number = max(time.time_ns(), newest + 1)
            self._path = self._folder / f"{number:020d}.ticket"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            self._descriptor = os.open(self._path, flags, paths.PRIVATE_FILE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._write(self._ticket)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the queue."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def acquire(self, usable: Sequence[str]) -> tuple[str, ...] | Waiting:
        """Return the UUIDs granted, or what they wait for. Call again until granted.

        Args:
            usable: UUIDs of the GPUs that a run which takes any may get, the best first.
        """
        with _mutex(self._folder):
            taken: dict[str, str] = {}
            earlier = True
            for path, ticket in self._live_tickets():
                if path == self._path:
                    earlier = False
                    continue
                for gpu in ticket.granted or (_due(ticket, usable, taken) if earlier else ()):
                    taken.setdefault(gpu, ticket.run_id)
            granted = _due(self._ticket, usable, taken)
            blocked = [gpu for gpu in granted if gpu in taken]
            if granted and not blocked:
                self._ticket = msgspec.structs.replace(self._ticket, granted=granted)
                self._write(self._ticket)
                return granted
            gpus = tuple(blocked or (gpu for gpu in usable if gpu in taken))
            return Waiting(tuple(dict.fromkeys(taken[gpu] for gpu in gpus)), gpus)

    def _live_tickets(self) -> Iterator[tuple[Path, Ticket]]:
        """Yield the tickets in order of arrival; sweep away those whose supervisor is gone."""
        for path in sorted(self._folder.glob("*.ticket")):
            if path == self._path:
                yield path, self._ticket
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
                if _is_void(path):
                    path.unlink(missing_ok=True)
                else:
                    yield path, msgspec.json.decode(path.read_bytes(), type=Ticket)

    def _write(self, ticket: Ticket) -> None:
        data = msgspec.json.encode(ticket)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)


def _due(ticket: Ticket, usable: Sequence[str], taken: dict[str, str]) -> tuple[str, ...]:
    """Return the GPUs that are ``ticket``'s when its turn comes: those named, or the best free.

    One that takes several waits for them with what is free set aside, or smaller runs that come
    later would keep it waiting for ever.
    """
    if ticket.wanted:
        return ticket.wanted
    free = [gpu for gpu in usable if gpu not in taken]
    busy = [gpu for gpu in usable if gpu in taken] if ticket.count > 1 else []
    return tuple([*free, *busy][: ticket.count])


def _arrival(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else 0


def _is_void(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def _mutex(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "mutex", os.O_RDWR | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
