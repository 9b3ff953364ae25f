"""The conductor: one light process for a chain, which starts its runs one after the other.

It outlives terminals, as its runs do. It never trains: each stage is a run with a supervisor of
its own, so killing the conductor hurts no run, and a chain that is taken up again finds it going.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder
from tui_ft.chains.status import runs_by_stage
from tui_ft.runs import control, launch
from tui_ft.runs.folder import RunError, RunFolder, hold_lock
from tui_ft.runs.place import Place
from tui_ft.runs.reader import LineTail
from tui_ft.runs.registry import RunSummary, summary_of
from tui_ft.runs.worker_process import TRAIN_ENTRY
from tui_ft.spec import SpecError
from tui_ft.spec.chain import Chain, Stage

_POLL_SECONDS: Final = 0.5


class Conductor:
    """Brings the stages of a chain to their ends, one after the other."""

    def __init__(self, folder: ChainFolder, worker: str, control_offset: int) -> None:
        self._folder, self._worker = folder, worker
        self._control = LineTail(folder.control_file, control_offset)
        self._stop_user: str | None = None
        self._kill_user: str | None = None
        self._told: set[str] = set()

    def run(self) -> journal.Ended:
        """Go through the stages; return how it ended, as it was written down."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        journal.append(
            self._folder,
            journal.Attended(host=socket.gethostname(), user=control.user_name(), pid=os.getpid()),
        )
        try:
            ended = self._stages(self._folder.chain())
        except (SpecError, RunError) as error:
            ended = self._failed(str(error))
        except Exception as error:  # its own fault must end the chain with a reason
            ended = self._failed(f"the chain's process broke: {type(error).__name__}: {error}")
            sys.excepthook(type(error), error, error.__traceback__)
        journal.append(self._folder, ended)
        return ended

    def _stages(self, chain: Chain) -> journal.Ended:
        runs = runs_by_stage(self._folder, journal.read(self._folder))
        for stage in chain.stages:
            summary = summary_of(runs[stage.name]) if stage.name in runs else None
            if summary is not None and summary.state == "finished":
                continue
            self._listen()
            if self._stop_user is not None:
                return self._stopped(f"stopped by {self._stop_user} before stage {stage.name}")
            runs[stage.name] = self._take_up(chain, stage, runs, summary)
            summary = self._follow(runs[stage.name])
            if summary.state != "finished":
                return self._broken(stage, summary)
        last = chain.stages[-1]
        output = runs[last.name].output_dir()
        return journal.Ended(
            state="finished",
            reason=f"all {len(chain.stages)} stages done; {output.name} of {last.name} in {output}",
        )

    def _take_up(
        self, chain: Chain, stage: Stage, runs: dict[str, RunFolder], now: RunSummary | None
    ) -> RunFolder:
        """Start the run of a stage, or take it up again where it is not at work already."""
        if now is None:
            spec = chain.filled(stage, lambda name: str(runs[name].path))
            number = chain.number(stage.name)
            place = Place(
                chain=self._folder.id, stage=stage.name, number=number, of=len(chain.stages)
            )
            run = launch.launch(spec, worker=self._worker, place=place)
            journal.append(self._folder, journal.Started(stage=stage.name, run=run.id))
            return run
        run = runs[stage.name]
        if not now.is_live:
            launch.resume(run, worker=self._worker)
            journal.append(self._folder, journal.Resumed(stage=stage.name, run=run.id))
        return run

    def _follow(self, run: RunFolder) -> RunSummary:
        """Wait for the end of a run; hand on what the chain is told meanwhile."""
        while (summary := summary_of(run)).is_live:
            self._listen()
            self._tell(run, "kill", self._kill_user)
            self._tell(run, "stop", self._stop_user)
            time.sleep(_POLL_SECONDS)
        return summary

    def _tell(self, run: RunFolder, command: control.Command, user: str | None) -> None:
        if user is None or command in self._told:
            return
        self._told.add(command)
        ask = control.request_kill if command == "kill" else control.request_stop
        try:
            ask(run)
        except RunError:  # it has ended by itself meanwhile
            return

    def _listen(self) -> None:
        for line in self._control.read():
            try:
                said = msgspec.json.decode(line, type=control.CommandLine)
            except (msgspec.DecodeError, msgspec.ValidationError):
                continue
            if said.command == "stop":
                self._stop_user = said.user
            elif said.command == "kill":
                self._stop_user = self._kill_user = said.user

    def _broken(self, stage: Stage, summary: RunSummary) -> journal.Ended:
        why = f"stage {stage.name} ({summary.id}) {summary.state}: {summary.reason}"
        if summary.state == "stopped":
            return self._stopped(why)
        return self._failed(
            why, *(advice for advice in summary.advice if "ftui resume" not in advice)
        )

    def _stopped(self, reason: str) -> journal.Ended:
        return journal.Ended(state="stopped", reason=reason, advice=(self._how_to_go_on(),))

    def _failed(self, reason: str, *advice: str) -> journal.Ended:
        return journal.Ended(state="failed", reason=reason, advice=(*advice, self._how_to_go_on()))

    def _how_to_go_on(self) -> str:
        return f"`ftui chain resume {self._folder.id}` goes on there; no finished stage is redone"

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_user = "the system (SIGTERM)"


def main(arguments: list[str] | None = None) -> int:
    """Conduct the chain in the folder given; return 0 when it finished or was stopped."""
    parser = argparse.ArgumentParser(prog="python -m tui_ft.chains.conductor")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worker", default=TRAIN_ENTRY, help="module:function of the runs' worker")
    parser.add_argument("--control-offset", type=int, default=0, help="commands before are past")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    folder = ChainFolder(options.folder)
    try:
        with hold_lock(folder):
            ended = Conductor(folder, options.worker, options.control_offset).run()
    except RunError as error:
        print(error, file=sys.stderr)  # noqa: T201 - goes to chain.log
        return 1
    return 0 if ended.state in ("finished", "stopped") else 1


if __name__ == "__main__":
    sys.exit(main())
