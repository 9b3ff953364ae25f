"""The process that replays steps: it is kept a while, for its start takes longer than its answers.

A kept process waits for a line on its stdin, so it ends by itself when whoever asked it does.
"""

from __future__ import annotations

import atexit
import os
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 30.0  # it holds half a GB meanwhile
_SAID: Final = 4096


class DiedError(Exception):
    """The process ended before it answered.

    Attributes:
        code: as of `subprocess.Popen.returncode`.
        last: the last line that it said on stderr; empty when it said nothing.
    """

    def __init__(self, code: int, last: str) -> None:
        super().__init__(f"it ended with {code}: {last}")
        self.code = code
        self.last = last


class Replayer:
    """One process, which answers one question after another."""

    def __init__(self, command: tuple[str, ...]) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        self.command = command
        self._rest = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            )
        except BaseException:
            self._stderr.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def answer(self, question: bytes, look: Callable[[], None]) -> bytes:
        """Return the answer to a question, both one line.

        Args:
            question: without the end of line.
            look: called ten times a second; it raises when nobody waits any longer.

        Raises:
            DiedError: the process ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(question + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._why_it_died() from None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(_LOOK_SECONDS):
                    look()
                    continue
                read = os.read(stdout.fileno(), 1 << 16)
                if not read:
                    raise self._why_it_died()
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def end(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:  # of a question that it never read
                continue
        self._stderr.close()

    def _why_it_died(self) -> DiedError:
        code = self._process.wait()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _SAID))
        said = self._stderr.read().decode(errors="replace").strip().splitlines()
        return DiedError(code, said[-1] if said else "")


_IDLE: Final[dict[Replayer, threading.Timer]] = {}
_LOCK: Final = threading.Lock()


@contextmanager
def replayer(*, gently: bool) -> Iterator[Replayer]:
    """Give a process that nobody else asks meanwhile; it is kept, unless something is raised.

    Args:
        gently: at the lowest priority.

    Raises:
        OSError: none was kept, and none can be started.
    """
    more = ("--gently",) if gently else ()
    command = (sys.executable, "-m", "tui_ft.dryrun", *more)
    one = _take(command) or Replayer(command)
    try:
        yield one
    except BaseException:
        one.end()
        raise
    _keep(one)


def end_kept() -> None:
    """End all processes that are kept."""
    for one in list(_IDLE):
        _end(one)


def _take(command: tuple[str, ...]) -> Replayer | None:
    with _LOCK:
        for one in _IDLE:
            if one.command == command and one.is_alive:
                _IDLE.pop(one).cancel()
                return one
    return None


def _keep(one: Replayer) -> None:
    bored = threading.Timer(_IDLE_SECONDS, _end, [one])
    bored.daemon = True
    with _LOCK:
        _IDLE[one] = bored
    bored.start()


def _end(one: Replayer) -> None:
    with _LOCK:
        bored = _IDLE.pop(one, None)
    if bored is not None:
        bored.cancel()
        one.end()


def _forget() -> None:
    _IDLE.clear()  # they are those of the process that forked
    _LOCK.release()


atexit.register(end_kept)
# Else a child could be made while another thread holds the lock, which nobody there would release.
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_forget)
