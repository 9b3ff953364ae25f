"""The one writer of a run's `events.jsonl`: numbers events, appends them, outlasts a full disk."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.reader import RunReader

_ROOM_BYTES: Final = 1 << 16
_FOR_LINES: Final = _ROOM_BYTES - (1 << 14)
"""The rest is for files that are rewritten in the end, such as the summary."""


class Appender:
    """Appends lines to a file, one `os.write` each.

    While the disk is full or gone, they wait in memory and are written, in order, once it is back.
    Room on the disk is kept for the last ones, so that a process that ends for want of room can
    say so. Once it is open, nothing here ever raises into the loop that keeps a run alive.
    """

    def __init__(self, file: Path) -> None:
        """Open ``file``.

        Raises:
            OSError: that cannot be done.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._descriptor = os.open(file, flags, paths.PRIVATE_FILE)
        self._backlog: deque[bytes] = deque()
        self._room = file.with_name(f".{file.name}.room")
        with contextlib.suppress(OSError):
            _keep_room(self._room)
        if self._ends_torn():
            self._backlog.append(b"\n")

    @property
    def backlog(self) -> int:
        """Lines that wait for the disk."""
        return len(self._backlog)

    def write(self, line: bytes) -> None:
        """Append ``line``, which has its end, after those that wait."""
        self._backlog.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as the disk takes it."""
        with contextlib.suppress(OSError):
            while self._backlog:
                line = self._backlog[0]
                written = os.write(self._descriptor, line)
                if written < len(line):
                    self._backlog[0] = line[written:]
                else:
                    self._backlog.popleft()

    def sync(self) -> None:
        """Write what waits, and wait until the disk has it."""
        self.flush()
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Write what waits to disk, at the least the last of it, and let go of the file."""
        self.flush()
        with contextlib.suppress(OSError):
            self._room.unlink()
        if sum(map(len, self._backlog)) > _FOR_LINES:
            while len(self._backlog) > 1 and sum(map(len, self._backlog)) > _FOR_LINES:
                self._backlog.popleft()
            self._backlog.appendleft(b"\n")  # the first may have been written in part
        self.sync()
        os.close(self._descriptor)

    def _ends_torn(self) -> bool:
        """Tell whether a killed writer left a line without its end: the next must not join it."""
        size = os.fstat(self._descriptor).st_size
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"


def _keep_room(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        os.posix_fallocate(descriptor, 0, _ROOM_BYTES)
    finally:
        os.close(descriptor)


class Journal:
    """Appends a run's events, and keeps the history they make.

    While they wait for the disk, those that may be dropped are dropped.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.history = RunReader(folder).catch_up()
        self._lines = Appender(folder.events_file)

    @property
    def backlog(self) -> int:
        """Events that wait for the disk."""
        return self._lines.backlog

    def write(self, event: ev.Event) -> ev.Event:
        """Number ``event``, append it, fold it into the history; return it as written."""
        event = ev.stamped(event, self.history.seq + 1)
        self.history.add(event)
        if not (self._lines.backlog and isinstance(event, ev.DROPPABLE)):
            self._lines.write(ev.encode(event))
        else:
            self._lines.flush()
        return event

    def flush(self) -> None:
        """Write what waits, as far as the disk takes it."""
        self._lines.flush()

    def close(self) -> None:
        """Write what waits to disk, and let go of the file."""
        self._lines.close()
