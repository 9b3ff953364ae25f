"""Several processes for one run, through torch's elastic launcher, in the worker's own process.

Each rank is a worker of its own with a line to this process, which alone speaks to the supervisor:
what the first rank says is passed up, a person's commands are passed down to it, and the ranks
agree on them among themselves. When a rank dies the launcher ends the others; the reason that the
run is given is that of the rank which failed first, with its number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tui_ft.runs import endings
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.ladder import as_trained
from tui_ft.runs.link import WorkerLink
from tui_ft.runs.reader import RunReader
from tui_ft.runs.worker_process import print_what_fits
from tui_ft.spec import RunSpec
from tui_ft.train.errors import RunStopped
from tui_ft.train.failures import is_of_the_run
from tui_ft.train.several.meeting import meeting_folder
from tui_ft.train.several.together import MEETING, lost_a_peer, threads_of_each
from tui_ft.train.worker import last_word, run_attempt

_LISTEN_SECONDS: Final = 0.1
_SHUTDOWN_SECONDS: Final = 20
_FOR_THE_LAUNCHER: Final = 30.0
"""A rank that lost another waits so long for the launcher to find which one, and to end it."""


def patience_of(config: type[Any]) -> dict[str, Any]:
    """Return how long the launcher waits for ranks to end, as its configuration takes it.

    That of torch 2.11 does not, and waits 30 s.
    """
    known = {field.name for field in dataclasses.fields(config)}
    return {"shutdown_timeout": _SHUTDOWN_SECONDS} if "shutdown_timeout" in known else {}


@dataclass(frozen=True, slots=True)
class Launch:
    """What every rank is given.

    Attributes:
        gpus: numbers of the GPUs, one for each rank; none means the CPU.
        count: how many ranks there are.
        checkpoint: where to resume from, or None to begin.
    """

    run_dir: Path
    gpus: tuple[int, ...]
    count: int
    checkpoint: Path | None

    def name(self, rank: int) -> str:
        """Return a rank as people find it: its number, and its GPU's."""
        gpu = f", on GPU {self.gpus[rank]}," if self.gpus else ""
        return f"rank {rank} of {self.count}{gpu}"


def launch(launched: Launch, spec: RunSpec, link: WorkerLink) -> ev.Ended:
    """Run all ranks to their end; return how the run ended.

    Raises:
        OSError: the processes cannot be started.
    """
    with meeting_folder() as meeting:
        outcome = _launch(launched, spec, link, meeting)
    if isinstance(outcome, signal.Signals):
        _die_of(outcome)  # now that what lies in /tmp is gone
    return outcome


def _launch(
    launched: Launch, spec: RunSpec, link: WorkerLink, meeting: Path
) -> ev.Ended | signal.Signals:
    """Run all ranks to their end; return how the run ended, or the signal that ended it."""
    folder = RunFolder(launched.run_dir)
    logs = folder.path / "ranks"
    os.environ["OMP_NUM_THREADS"] = str(threads_of_each(spec.hardware, launched.count))
    # All ranks are on this machine: gloo shall not look for it by its name.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    lines = [_Line(rank, link) for rank in range(launched.count)]
    # torch's store listens at all addresses, and what it is told it unpickles: on a shared machine
    # anybody could run code as this user. So all meet over files that are this user's alone.
    os.environ[MEETING] = f"{meeting}/group"
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=launched.count,
        run_id=folder.id,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{meeting}/launch",
        rdzv_configs={"store_type": "file"},
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(logs)),
        signals_to_handle="SIGTERM",  # SIGHUP stays ignored: a terminal that closes ends nothing
        **patience_of(LaunchConfig),
    )
    over = threading.Event()
    orders = threading.Thread(target=_pass_orders, args=(link, lines, over), daemon=True)
    orders.start()
    failure: tuple[int, ProcessFailure] | None = None
    try:
        elastic_launch(config, run_rank)(launched, tuple(line.far_ends for line in lines))
    except ChildFailedError as error:
        failure = error.get_first_failure()
    except SignalException as error:
        return error.sigval
    finally:
        over.set()
        orders.join()
        for line in lines:
            line.close()
        shutil.rmtree(logs, ignore_errors=True)
    ended = {line.rank: line.ended for line in lines if line.ended is not None}
    return how_it_ended(launched, ended, failure)


def how_it_ended(
    launched: Launch, ended: dict[int, ev.Ended], failure: tuple[int, ProcessFailure] | None
) -> ev.Ended:
    """Return the end of a run from what its ranks said and, if one died, which and how.

    Args:
        ended: the last word of each rank that had one. A rank that only lost another has none.
        failure: the rank that the launcher found dead, if it did.
    """
    if failure is None and 0 in ended:
        return ended[0]
    if ended:
        return min(ended.values(), key=lambda one: one.t)
    folder = RunFolder(launched.run_dir)
    if failure is None:
        return ev.Ended(state="crashed", reason="the processes ended without a reason")
    rank, process = failure
    history = RunReader(folder).catch_up()
    return endings.worker_died(folder, history, process.exitcode, launched.name(rank))


def run_rank(launched: Launch, ends: tuple[tuple[Connection, Connection], ...]) -> None:
    """Be one rank. Called by the elastic launcher in a process of its own."""
    print_what_fits()
    rank = int(os.environ["RANK"])
    for other, pair in enumerate(ends):
        if other != rank:
            for end in pair:
                end.close()
    link = WorkerLink(*ends[rank]) if rank == 0 else _LastWordLink(*ends[rank])
    try:
        _work_as(rank, launched, link)
    finally:
        link.close()
        if link.orphaned:
            os._exit(1)  # the launcher is gone, and torch would wait for its leave for ever


def _work_as(rank: int, launched: Launch, link: WorkerLink) -> None:
    spec: RunSpec | None = None
    try:
        ended = run_attempt(launched.run_dir, launched.gpus, launched.checkpoint, link, rank)
    except BaseException as error:
        traceback.print_exc()
        if lost_a_peer(error):
            time.sleep(_FOR_THE_LAUNCHER)
            raise
        with contextlib.suppress(Exception):
            spec = as_trained(RunFolder(launched.run_dir))
        ended = last_word(error, spec, launched.run_dir)
        if not is_of_the_run(error):
            named = f"{launched.name(rank)}: {ended.reason}"
            ended = msgspec.structs.replace(ended, reason=named)
        link.send(ended)
        link.close()
        if not isinstance(error, RunStopped):
            raise  # torch's launcher takes note, and ends the others
        return
    link.send(ended)


class _LastWordLink(WorkerLink):
    """The line of a rank other than the first: only how it ended is of interest."""

    def send(self, event: ev.Event) -> None:
        """Send ``event`` if it is the last one."""
        if isinstance(event, ev.Ended):
            super().send(event)


class _Line:
    """The launcher's end of the line to one rank."""

    def __init__(self, rank: int, link: WorkerLink) -> None:
        self.rank = rank
        self.ended: ev.Ended | None = None
        self._link = link
        context = multiprocessing.get_context("spawn")
        self._events, events_there = context.Pipe(duplex=False)
        commands_there, self._commands = context.Pipe(duplex=False)
        self.far_ends = (events_there, commands_there)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, command: str) -> None:
        """Pass a command down; a rank that is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._commands.send(command)

    def cut(self) -> None:
        """Let the rank know that nobody is left to hear it."""
        self._commands.close()

    def close(self) -> None:
        """Take what the rank has still said; call it when its process is gone."""
        for end in self.far_ends:
            end.close()
        self._listener.join(_SHUTDOWN_SECONDS)
        self._commands.close()

    def _listen(self) -> None:
        while True:
            try:
                event = ev.decode(self._events.recv_bytes())
            except (EOFError, OSError):
                return
            if isinstance(event, ev.Ended):
                self.ended = event
            elif event is not None:
                self._link.send(event)


def _pass_orders(link: WorkerLink, lines: list[_Line], over: threading.Event) -> None:
    """Pass a person's orders to the first rank, until the ranks are gone or told to stop."""
    while not over.wait(_LISTEN_SECONDS):
        if link.take_checkpoint_request():
            lines[0].send("checkpoint")
        if link.orphaned:
            for line in lines:
                line.cut()
            return
        if link.stop_requested:
            lines[0].send("stop")
            over.wait()
            return


def _die_of(number: signal.Signals) -> NoReturn:
    """End this process as the signal would have: its ranks are gone, the supervisor says why."""
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise AssertionError("unreachable")
