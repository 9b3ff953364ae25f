"""The supervisor: one light process for each run, which outlives terminals, apps and its worker.

It waits for the run's GPUs, starts the worker, writes down what the worker says and what the
hardware shows, passes commands down, and says why it ended. It never imports torch.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from tui_ft import paths
from tui_ft.data.files.hub_download import Cancelled, Progress
from tui_ft.hardware import Gpu, Sampler, Snapshot, take_snapshot
from tui_ft.runs import endings
from tui_ft.runs import events as ev
from tui_ft.runs.attending import Orders, attend, say_in_log, why_it_broke
from tui_ft.runs.changes import changes_since
from tui_ft.runs.checks import preflight
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.control import CommandLine, user_name
from tui_ft.runs.environment import record_environment
from tui_ft.runs.folder import RunFolder, is_locked
from tui_ft.runs.gpu_choice import GpuChoice, choose
from tui_ft.runs.journal import Journal
from tui_ft.runs.ladder import as_trained, step_down
from tui_ft.runs.leases import GpuQueue, Waiting
from tui_ft.runs.orphans import end_orphan, in_words, orphan_of
from tui_ft.runs.prediction import predict_behind
from tui_ft.runs.registry import HEARTBEAT_SECONDS, placed, summarise
from tui_ft.runs.run_data import bring_data
from tui_ft.runs.stop_watch import StopWatch
from tui_ft.runs.telemetry import TelemetryClock, reading
from tui_ft.runs.trackers import Trackers
from tui_ft.runs.worker_process import Assignment, WorkerHandle, start_worker
from tui_ft.spec import RunSpec

_TICK_SECONDS: Final = 0.25
_GRACE_AFTER_END: Final = 60.0
"""A worker that has said its last word but does not go is ended after this many seconds."""
_HASH_SECONDS: Final = 5.0
"""A run that ends at once waits so long for the hash of its data: it may be resumed on others."""


class Stopped(Exception):
    """The run was told to end before its worker was there to be told."""

    def __init__(self, user: str) -> None:
        self.user = user


class Supervisor:
    """Everything one run needs beside its worker, from its lock to its last event."""

    def __init__(self, path: Path, entry: str, control_offset: int) -> None:
        self.folder = folder = RunFolder(path)
        self._entry = entry
        self._orders = Orders(folder, control_offset)
        self._journal = Journal(folder)
        self._sampler = Sampler(folder.path, HEARTBEAT_SECONDS)
        self._telemetry = TelemetryClock()
        self._stop_watch = StopWatch(folder.id)
        self._heartbeat = 0.0
        self._worker: WorkerHandle | None = None
        self._trackers: Trackers | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._hashing: threading.Thread | None = None
        self._outcome: ev.Ended | None = None

    def run(self) -> ev.State:
        """Bring the run to its end, and return that end's state."""
        self._sampler.start()
        try:
            ended = self._attempt()
        except Stopped as stopped:
            ended_by = endings.stopped_before_training
            if self._orders.kill:
                ended_by = endings.killed_by_request
            ended = ended_by(self.folder, stopped.user)
        except Exception as error:  # the supervisor's own fault must end the run with a reason
            reason, advice = why_it_broke(error, "the supervisor", self.folder)
            ended = ev.Ended(state="failed", reason=reason, advice=advice)
        finally:
            if self._worker:
                self._worker.kill()
        if self._hashing:
            self._hashing.join(_HASH_SECONDS)
        self._journal.write(ended)
        self._journal.close()
        # Last, as readers take its word: what comes after this must not take long.
        self._write_status()
        return ended.state

    def _attempt(self) -> ev.Ended:
        self._let_the_worker_before_save()
        checkpoint = self._begin()
        spec = as_trained(self.folder)
        choice = choose(spec.hardware, take_snapshot(self.folder.path))
        if not choice.needs_gpu:
            return self._work(spec, choice, (), checkpoint)
        with GpuQueue(self.folder.id, choice.wanted, count=choice.count) as queue:
            granted = self._wait_for_gpus(queue, choice)
            return self._work(spec, choice, granted, checkpoint)

    def _let_the_worker_before_save(self) -> None:
        """Wait for a worker whose supervisor was killed: two must never write one folder."""
        pid = orphan_of(self.folder)
        if not pid:
            return
        text = (
            f"waits for the worker of the attempt before ({in_words(self.folder, pid)}), which "
            f"saves what it has learned; `ftui kill {self.folder.id}` ends it if it hangs"
        )
        self._journal.write(ev.Phase(phase="wait", text=text))
        self._write_status()
        while is_locked(self.folder.worker_lock):
            self._tick(_TICK_SECONDS)
            if self._orders.kill:
                end_orphan(self.folder)
            self._stop_if_told()

    def _begin(self) -> Path | None:
        """Write down that an attempt begins; return the checkpoint it goes on from."""
        previous = self._journal.history.attempt
        checkpoints = self.folder.checkpoints()
        step, checkpoint = checkpoints[-1] if checkpoints else (0, None)
        self._journal.write(
            ev.Attempt(
                number=previous.number + 1 if previous else 1,
                host=socket.gethostname(),
                user=user_name(),
                pid=os.getpid(),
                step=step,
            )
        )
        self._write_status()
        return checkpoint

    def _wait_for_gpus(self, queue: GpuQueue, choice: GpuChoice) -> tuple[str, ...]:
        told: Waiting | None = None
        while True:
            answer = queue.acquire(choice.usable)
            if not isinstance(answer, Waiting):
                return answer
            if answer != told:
                told = answer
                text = f"waits for {choice.names(answer.gpus)}, after {', '.join(answer.behind)}"
                self._journal.write(ev.Phase(phase="wait", text=text))
            self._tick(_TICK_SECONDS)
            self._stop_if_told()

    def _work(
        self, spec: RunSpec, choice: GpuChoice, granted: tuple[str, ...], checkpoint: Path | None
    ) -> ev.Ended:
        self._journal.write(ev.Phase(phase="preflight", text="checks data, model, disk and GPU"))
        self._gpus = choice.gpus(granted)
        findings = preflight.check(spec, self.folder.path, self._gpus)
        self._report(findings)
        refused = preflight.refusal(findings)
        if refused:
            return refused
        local = self._bring_data(spec)
        if local != spec:
            # Now that there are rows, they can be looked at.
            found = preflight.check_data(local)
            self._report([finding for finding in found if finding not in findings])
            refused = preflight.refusal(found)
            if refused:
                return refused
        self._say_changes()
        snapshot = take_snapshot(self.folder.path)
        self._hashing = record_environment(self.folder, local, snapshot)
        self._tick(0)
        self._trackers = Trackers(self.folder, spec)
        return self._train(checkpoint)

    def _train(self, checkpoint: Path | None) -> ev.Ended:
        """Let workers train until one ends otherwise than by running out of memory.

        After that each is a new process: what CUDA holds, and whether it gives it back, is not to
        be trusted any more.
        """
        while True:
            self._stop_if_told()
            ended = self._one_worker(checkpoint)
            if not (ended.cause and self._step_down(ended)):
                return endings.at_the_ladders_end(ended, self._journal.history)
            checkpoint = self._begin()

    def _step_down(self, ended: ev.Ended) -> bool:
        """Take the next step of the run's ladder; tell whether there was one."""
        if self._orders.end:
            return False
        phase = self._journal.history.phase
        rung = step_down(self.folder, ended, phase, on_gpu=bool(self._gpus))
        if rung is None:
            return False
        self._journal.write(
            ev.Rung(
                number=len(self._journal.history.rungs) + 1,
                reason=ended.reason,
                words=rung.words,
                changes={key: (rung.was[key], new) for key, new in rung.changes.items()},
                begins_anew=rung.begins_anew,
            )
        )
        return True

    def _one_worker(self, checkpoint: Path | None) -> ev.Ended:
        self._outcome = None
        self._worker = start_worker(
            Assignment(
                entry=self._entry,
                run_dir=self.folder.path,
                gpus=tuple(gpu.index for gpu in self._gpus),
                gpu_uuids=tuple(gpu.uuid for gpu in self._gpus),
                checkpoint=checkpoint,
            )
        )
        self._write_status()  # it is known from now on, and not with the next heartbeat
        return self._attend(self._worker)

    def _say_changes(self) -> None:
        """Say what is other than in the attempt before; whoever resumed has decided already."""
        for one in changes_since(self.folder, self._gpus):
            severity: Literal["note", "warning"] = "note" if one.weight == "note" else "warning"
            self._journal.write(ev.Alert(severity=severity, kind=one.what, text=one.sentence))

    def _report(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._journal.write(
                ev.Alert(severity=finding.severity, text=finding.text, advice=finding.advice)
            )

    def _bring_data(self, spec: RunSpec) -> RunSpec:
        """Fetch data that are on the Hub, in a process of its own; return the run with files."""

        def tell(progress: Progress) -> None:
            done, total, text = progress.bytes, progress.total, progress.what
            phase = ev.Phase(phase="download", text=text, done=done, total=total, unit="B")
            self._journal.write(phase)

        def is_over() -> bool:
            self._tick(0)
            return bool(self._orders.end)

        try:
            local, notes = bring_data(self.folder, spec, tell, is_over)
        except Cancelled:
            raise Stopped(self._orders.end or "") from None
        for note in notes:
            self._journal.write(ev.Alert(severity="note", kind="data", text=note))
        return local

    def _attend(self, worker: WorkerHandle) -> ev.Ended:
        """Listen to the worker until it is gone; return how it ended."""
        listening, ended_at = True, 0.0
        while worker.process.is_alive() or listening:
            listening = self._listen(worker, listening)
            self._tick(0 if listening else _TICK_SECONDS)
            if self._orders.kill:
                worker.kill()
            if self._outcome and not ended_at:
                ended_at = time.monotonic()
            over = ended_at and time.monotonic() - ended_at > _GRACE_AFTER_END
            # What a dead worker forked and left behind holds its pipe, its lock and GPU memory.
            if over or not worker.process.is_alive():
                worker.kill()
        worker.process.join()
        if self._outcome:
            return self._outcome
        if self._orders.kill:
            return endings.killed_by_request(self.folder, self._orders.kill)
        exit_code = worker.process.exitcode or 0
        return endings.worker_died(self.folder, self._journal.history, exit_code)

    def _listen(self, worker: WorkerHandle, listening: bool) -> bool:
        """Take what the worker says for at most one tick; return False once the pipe has ended."""
        if not listening:
            return False
        deadline = time.monotonic() + _TICK_SECONDS
        try:
            while worker.events.poll(max(0.0, deadline - time.monotonic())):
                self._take(worker.events.recv_bytes())
                if time.monotonic() > deadline:
                    break
        except (EOFError, OSError):
            return False
        return True

    def _take(self, data: bytes) -> None:
        event = ev.decode(data)
        if isinstance(event, ev.Ended):
            self._outcome = event  # written when the worker is gone: it is the last event
        elif event is not None:
            self._journal.write(event)
        if isinstance(event, ev.Plan) and self._gpus and event.processes == 1:
            # Of several GPUs the dry run knows nothing.
            predict_behind(self.folder, as_trained(self.folder), self._gpus[0], event.longest_row)

    def _tick(self, seconds: float) -> None:
        """Do what is due at all times: commands, telemetry, heartbeat. Then sleep."""
        for command in self._orders.read():
            self._obey(command)
        snapshot = self._sampler.latest()
        if snapshot is not None and self._telemetry.is_due():
            self._journal.write(self._reading(snapshot))
        if time.monotonic() - self._heartbeat > HEARTBEAT_SECONDS:
            self._heartbeat = time.monotonic()
            self._journal.flush()
            self._write_status()
            for alert in self._trackers.look() if self._trackers else ():
                self._journal.write(alert)
            overdue = self._stop_watch.look()
            if overdue is not None:
                self._journal.write(overdue)
        if seconds:
            time.sleep(seconds)

    def _obey(self, said: CommandLine) -> None:
        self._journal.write(ev.Commanded(command=said.command, user=said.user))
        if said.command == "stop":
            self._on_stop(said.user)
        elif said.command == "checkpoint" and self._worker:
            self._worker.send("checkpoint")

    def _stop_if_told(self) -> None:
        if self._orders.end:
            raise Stopped(self._orders.end)

    def _on_stop(self, user: str) -> None:
        """Stop in the gentlest way there is: while it prepares, there is nothing to save."""
        if self._worker is None:
            return
        if self._journal.history.state == "preparing":
            self._outcome = self._outcome or endings.stopped_before_training(self.folder, user)
            self._worker.kill()
        else:
            self._worker.send("stop")
            self._stop_watch.start()

    def _reading(self, snapshot: Snapshot) -> ev.Telemetry:
        uuids = frozenset(gpu.uuid for gpu in self._gpus)
        pid = self._worker.process.pid if self._worker else None
        return reading(snapshot, uuids, pid)

    def _write_status(self) -> None:
        """Rewrite the summary. It is only a cache of the events: a full disk may keep the old."""
        summary = msgspec.structs.replace(
            placed(self.folder, summarise(self.folder.id, self._journal.history)),
            heartbeat=time.time(),
            gpus=tuple(gpu.index for gpu in self._gpus),
            worker_pid=(self._worker.process.pid or 0) if self._worker else 0,
        )
        try:
            paths.write_atomically(self.folder.status_file, msgspec.json.encode(summary))
        except OSError as error:
            say_in_log(f"cannot write {self.folder.status_file}: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Supervise the run in the folder given; return 0 when it finished or was stopped."""
    return attend("tui_ft.runs.supervisor", Supervisor, arguments)


if __name__ == "__main__":
    sys.exit(main())
