"""Follow a run's events from any process on any host that sees its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory

_CHUNK_BYTES: Final = 4 << 20


@dataclass(slots=True)
class LineTail:
    """Whole lines appended to a file since the last look. A torn last line waits for its rest."""

    path: Path
    offset: int = 0

    def read(self, at_most: int = _CHUNK_BYTES) -> list[bytes]:
        """Return the next whole lines, at most about ``at_most`` bytes; empty when there are none.

        A file that got shorter was replaced: reading starts anew.
        """
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:
                    self.offset = 0
                file.seek(self.offset)
                data = file.read(at_most)
                end = data.rfind(b"\n") + 1
                if not end and len(data) == at_most:  # one line longer than a chunk
                    data += file.readline()
                    end = len(data) if data.endswith(b"\n") else 0
        except OSError:
            return []
        self.offset += end
        return data[:end].split(b"\n")[:-1]


@dataclass(slots=True)
class RunReader:
    """A run's history, kept up to date by polling.

    Attributes:
        unreadable: lines that could not be decoded: torn by a crash, or of a newer ftui.
    """

    folder: RunFolder
    history: RunHistory = field(default_factory=RunHistory)
    unreadable: int = 0
    _tail: LineTail = field(init=False)

    def __post_init__(self) -> None:
        """Start at the beginning of the file."""
        self._tail = LineTail(self.folder.events_file)

    def poll(self, at_most: int = _CHUNK_BYTES) -> list[ev.Event]:
        """Take in what is new, at most about ``at_most`` bytes of it, and return it."""
        new = []
        for line in self._tail.read(at_most):
            event = ev.decode(line)
            if event is None:
                self.unreadable += bool(line)
                continue
            self.history.add(event)
            new.append(event)
        return new

    def share_read(self) -> float:
        """Return how much of what has been written is taken in, 0 to 1."""
        try:
            size = self.folder.events_file.stat().st_size
        except OSError:
            return 1.0
        return min(1.0, self._tail.offset / size) if size else 1.0

    def catch_up(self) -> RunHistory:
        """Take in everything there is; return the history."""
        while self.poll():
            pass
        return self.history


def read_events(folder: RunFolder) -> Iterator[ev.Event]:
    """Yield every event of the run so far, from the first."""
    tail = LineTail(folder.events_file)
    while lines := tail.read():
        yield from (event for event in map(ev.decode, lines) if event is not None)
