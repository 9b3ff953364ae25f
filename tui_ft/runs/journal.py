"""The one writer of a run's `events.jsonl`: numbers events, appends them, outlasts a full disk."""

from __future__ import annotations

import contextlib
import os
from collections import deque

from tui_ft import paths
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.reader import RunReader


class Journal:
    """Appends events, one `os.write` each, and keeps the history they make.

    While the disk is full or gone, events wait in memory and are written, in order, once it is
    back; those that may be dropped are dropped meanwhile. Nothing here ever raises into the loop
    that keeps a run alive.
    """

    def __init__(self, folder: RunFolder) -> None:
        reader = RunReader(folder)
        self.history = reader.catch_up()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._descriptor = os.open(folder.events_file, flags, paths.PRIVATE_FILE)
        self._backlog: deque[bytes] = deque()
        if self._ends_torn():
            self._backlog.append(b"\n")

    @property
    def backlog(self) -> int:
        """Events that wait for the disk."""
        return len(self._backlog)

    def write(self, event: ev.Event) -> ev.Event:
        """Number ``event``, append it, fold it into the history; return it as written."""
        event = ev.stamped(event, self.history.seq + 1)
        self.history.add(event)
        if not (self._backlog and isinstance(event, ev.DROPPABLE)):
            self._backlog.append(ev.encode(event))
        self.flush()
        return event

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

    def close(self) -> None:
        """Write what waits to disk, and let go of the file."""
        self.flush()
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _ends_torn(self) -> bool:
        """Tell whether a killed writer left a line without its end: the next must not join it."""
        size = os.fstat(self._descriptor).st_size
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
