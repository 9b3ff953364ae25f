"""The worker's process: started by the supervisor with the spawn method, it alone loads torch.

The supervisor knows the worker by the name of a function (`module:function`) and never imports it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import importlib
import io
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tui_ft import paths
from tui_ft.runs.folder import RunFolder, lock_within

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

TRAIN_ENTRY: Final = "tui_ft.train.worker:main"

_LOCK_SECONDS: Final = 1.0
"""So long the supervisor waits for what of an earlier worker goes just now."""

_OOM_SCORE: Final = 500
"""The kernel, out of memory, shall take the worker and spare the supervisor (see proc(5))."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is given.

    Attributes:
        entry: the function that does the work, as `module:function`.
        gpus: numbers of the GPUs it may use; none means the CPU.
        gpu_uuids: the same GPUs as CUDA knows them, whatever order it numbers them in.
        checkpoint: where to resume from, or None to begin.
    """

    entry: str
    run_dir: Path
    gpus: tuple[int, ...] = ()
    gpu_uuids: tuple[str, ...] = ()
    checkpoint: Path | None = None


class _Sent(Protocol):
    def detach(self) -> int:
        """Return the descriptor, as it is called here."""


class _Lock:
    """The worker's lock: taken before there is a worker, held by it alone from its first moment.

    A Python that starts takes seconds on a busy machine. Were the lock only taken then, a
    supervisor killed meanwhile would leave a worker that nobody knows of, and the next attempt
    would put a second one beside it.
    """

    def __init__(self, descriptor: int, *, taken: bool = False) -> None:
        self._descriptor, self._taken = descriptor, taken

    @classmethod
    def take(cls, file: Path) -> _Lock:
        """Take it; where something of an earlier worker holds it still, the new one waits for it.

        A lock that cannot be had, on a full disk for one, ends no run.
        """
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, paths.PRIVATE_FILE)
        except OSError:
            return cls(-1)
        try:
            lock_within(descriptor, _LOCK_SECONDS)
        except OSError:
            return cls(descriptor)
        return cls(descriptor, taken=True)

    def hand_over(self, pid: int) -> None:
        """Write down whose it is, and let go of it here."""
        if self._descriptor < 0:
            return
        if self._taken:
            _write_number(self._descriptor, pid)
        os.close(self._descriptor)

    def keep(self) -> None:
        """Hold it until this process ends, whatever ends it: so its descriptor stays."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.set_inheritable(self._descriptor, False)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        _write_number(self._descriptor, os.getpid())

    def __reduce__(self) -> tuple[object, ...]:
        """Send the descriptor itself to the process that is started: a lock is the descriptor's."""
        return _received, (None if self._descriptor < 0 else DupFd(self._descriptor),)


def _write_number(descriptor: int, pid: int) -> None:
    """Write whose the lock is, to be found when nobody else knows, over whose it was before.

    At one stroke: whoever reads sees a number, and never none.
    """
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, f"{pid:<12}".encode(), 0)


def _received(descriptor: _Sent | None) -> _Lock:
    return _Lock(-1 if descriptor is None else descriptor.detach())


@dataclass(slots=True)
class WorkerHandle:
    """A started worker, as its supervisor sees it."""

    process: BaseProcess
    events: Connection
    commands: Connection

    def send(self, command: str) -> None:
        """Pass a command down; a worker that is gone hears nothing."""
        with contextlib.suppress(OSError):
            self.commands.send(command)

    def kill(self) -> None:
        """End the worker and its children at once, also those that have outlived it."""
        pid = self.process.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if self.process.is_alive():
            self.process.kill()  # in case it had not yet made its own group


def start_worker(assignment: Assignment) -> WorkerHandle:
    """Start the worker in a process of its own; return the supervisor's ends of its two queues."""
    context = multiprocessing.get_context("spawn")
    events_here, events_there = context.Pipe(duplex=False)
    commands_there, commands_here = context.Pipe(duplex=False)
    lock = _Lock.take(RunFolder(assignment.run_dir).worker_lock)
    process = context.Process(
        target=_run, args=(assignment, events_there, commands_there, lock), name="ftui-worker"
    )
    process.start()
    lock.hand_over(process.pid or 0)
    # With our copies closed, the pipe ends when the worker does: a half-sent event cannot hang us.
    events_there.close()
    commands_there.close()
    return WorkerHandle(process, events_here, commands_here)


def _run(assignment: Assignment, events: Connection, commands: Connection, lock: _Lock) -> None:
    _settle(assignment)
    lock.keep()
    from tui_ft.runs.link import WorkerLink

    link = WorkerLink(events, commands)
    module, _, function = assignment.entry.partition(":")
    try:
        entry = getattr(importlib.import_module(module), function)
        entry(assignment.run_dir, assignment.gpus, assignment.checkpoint, link)
    finally:
        link.close()


class _LossyFile(io.FileIO):
    """A file that takes what there is room for: a line less in a log shall end no training."""

    def write(self, data: Buffer, /) -> int:
        """Write ``data``, or on a full disk nothing."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def print_what_fits() -> None:
    """Let this process print without a fault where its log's disk is full."""
    sys.stdout, sys.stderr = (_stream(one.fileno()) for one in (sys.stdout, sys.stderr))


def _stream(descriptor: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_LossyFile(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(raw, "utf-8", errors="backslashreplace", line_buffering=True)


def _settle(assignment: Assignment) -> None:
    """Make the process independent of terminals and supervisor, and pick its GPUs."""
    os.setpgrp()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = RunFolder(assignment.run_dir).worker_log
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, paths.PRIVATE_FILE)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)
    print_what_fits()
    faulthandler.enable()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    # Threads that spin while they wait take the cores from whoever shares them: two trainings at
    # once on two cores ran at a quarter of their speed each, and so run at half. Read by libgomp
    # when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(assignment.gpu_uuids)
