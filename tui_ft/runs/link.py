"""The worker's end of the line to its supervisor: events up, commands down.

Sending never blocks and never raises: a slow or vanished supervisor cannot hold training up.
The commands' pipe ends when the supervisor is gone; the worker then saves a checkpoint and stops.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from multiprocessing.connection import Connection
from typing import Final, Literal

from tui_ft.runs import events as ev

Command = Literal["stop", "checkpoint"]

_CROWDED: Final = 1_000
"""With so many events waiting, those that may be dropped are."""


class WorkerLink:
    """What a worker says to, and hears from, its supervisor."""

    def __init__(self, events: Connection, commands: Connection) -> None:
        self._events, self._commands = events, commands
        self._waiting: queue.SimpleQueue[ev.Event | None] = queue.SimpleQueue()
        self._checkpoint = threading.Event()
        self._stop = threading.Event()
        self.orphaned = False
        self._sender = threading.Thread(target=self._send_all, daemon=True, name="ftui-events")
        self._sender.start()
        threading.Thread(target=self._listen, daemon=True, name="ftui-commands").start()

    @property
    def stop_requested(self) -> bool:
        """Whether training should save a checkpoint and stop after this step."""
        return self._stop.is_set()

    def take_checkpoint_request(self) -> bool:
        """Tell whether a checkpoint was asked for since the last call."""
        asked = self._checkpoint.is_set()
        self._checkpoint.clear()
        return asked

    def send(self, event: ev.Event) -> None:
        """Hand ``event`` over; it is dated now. Droppable ones are dropped when many wait."""
        if isinstance(event, ev.DROPPABLE) and self._waiting.qsize() > _CROWDED:
            return
        self._waiting.put(ev.stamped(event, 0))

    def close(self, timeout: float = 60.0) -> None:
        """Wait until everything is sent, at most ``timeout`` seconds."""
        self._waiting.put(None)
        self._sender.join(timeout)

    def _send_all(self) -> None:
        while (event := self._waiting.get()) is not None:
            # Nobody there to hear: go on, so that the queue does not grow until training ends.
            with contextlib.suppress(OSError, ValueError):
                self._events.send_bytes(ev.encode(event))
        with contextlib.suppress(OSError):
            self._events.close()

    def _listen(self) -> None:
        while True:
            try:
                command: Command = self._commands.recv()
            except (EOFError, OSError):
                self.orphaned = True
                self._stop.set()
                return
            if command == "stop":
                self._stop.set()
            else:
                self._checkpoint.set()
