"""The conductor: one light process for a chain, which starts its runs one after the other.

It outlives terminals, as its runs do. It never trains: each stage is a run with a supervisor of
its own, so killing the conductor hurts no run, and a chain that is taken up again finds it going.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder
from tui_ft.chains.stages import is_done, refuse_lost_outputs, runs_by_stage
from tui_ft.runs import control, launch
from tui_ft.runs.attending import Orders, attend, why_it_broke
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.place import Place
from tui_ft.runs.registry import HEARTBEAT_SECONDS, RunSummary, summary_of
from tui_ft.spec.chain import Chain, Stage

_POLL_SECONDS: Final = 0.5


class Conductor:
    """Brings the stages of a chain to their ends, one after the other."""

    def __init__(self, path: Path, worker: str, control_offset: int) -> None:
        self._folder, self._worker = ChainFolder(path), worker
        self._orders = Orders(self._folder, control_offset)
        self._past = journal.read(self._folder)
        self._journal = journal.Journal(self._folder)
        self._heartbeat = 0.0
        self._told: set[str] = set()

    def run(self) -> str:
        """Go through the stages; return the state in which it ended, as it was written down."""
        host, user = socket.gethostname(), control.user_name()
        self._journal.write(journal.Attended(host=host, user=user, pid=os.getpid()))
        try:
            ended = self._stages(self._folder.chain())
        except Exception as error:  # its own fault must end the chain with a reason
            reason, advice = why_it_broke(error, "the chain's process", self._folder)
            ended = self._failed(reason, *advice)
        self._journal.write(ended)
        self._journal.close()
        return ended.state

    def _stages(self, chain: Chain) -> journal.Ended:
        runs = runs_by_stage(self._folder, self._past)
        for stage in chain.stages:
            if is_done(chain, stage, runs):
                continue
            self._listen()
            if self._orders.end is not None:
                return self._stopped(f"stopped by {self._orders.end} before stage {stage.name}")
            runs[stage.name] = self._take_up(chain, stage, runs)
            summary = self._follow(runs[stage.name])
            if summary.state != "finished":
                return self._broken(stage, summary)
        last = chain.stages[-1]
        output = runs[last.name].output_dir()
        return journal.Ended(
            state="finished",
            reason=f"all {len(chain.stages)} stages done; {output.name} of {last.name} in {output}",
        )

    def _take_up(self, chain: Chain, stage: Stage, runs: dict[str, RunFolder]) -> RunFolder:
        """Start the run of a stage, or take it up again where it is not at work already."""
        run = runs.get(stage.name)
        if run is not None and summary_of(run).is_live:
            return run
        refuse_lost_outputs(self._folder, chain, stage, runs)
        if run is not None:
            anyway = journal.is_allowed(self._past, stage.name)
            launch.resume(run, anyway=anyway, worker=self._worker)
            self._journal.write(journal.Resumed(stage=stage.name, run=run.id))
            return run
        spec = chain.filled(stage, lambda name: str(runs[name].path))
        number, of = chain.number(stage.name), len(chain.stages)
        place = Place(chain=self._folder.id, stage=stage.name, number=number, of=of)
        run = launch.launch(spec, worker=self._worker, place=place)
        self._journal.write(journal.Started(stage=stage.name, run=run.id))
        return run

    def _follow(self, run: RunFolder) -> RunSummary:
        """Wait for the end of a run; hand on what the chain is told meanwhile."""
        while (summary := summary_of(run)).is_live:
            self._listen()
            self._tell(run, "kill", self._orders.kill)
            self._tell(run, "stop", self._orders.end)
            time.sleep(_POLL_SECONDS)
        return summary

    def _tell(self, run: RunFolder, command: control.Command, user: str | None) -> None:
        if user is None or command in self._told:
            return
        ask = control.request_kill if command == "kill" else control.request_stop
        # It has ended by itself meanwhile; or its disk is full, and it is told again.
        with contextlib.suppress(RunError):
            ask(run)
            self._told.add(command)

    def _listen(self) -> None:
        """Hear what is wanted; let those on other hosts see that somebody is there."""
        self._orders.read()
        if time.monotonic() - self._heartbeat > HEARTBEAT_SECONDS:
            self._heartbeat = time.monotonic()
            self._folder.beat()

    def _broken(self, stage: Stage, summary: RunSummary) -> journal.Ended:
        why = f"stage {stage.name} ({summary.id}) {summary.state}: {summary.reason}"
        if summary.state == "stopped":
            return self._stopped(why)
        told = [advice for advice in summary.advice if "ftui resume" not in advice]
        if summary.state == "failed":
            change = f"`ftui chain resume {self._folder.id} --set {stage.name}.KEY=VALUE`"
            told.append(f"{change} begins the stage anew with a field changed")
        return self._failed(why, *told)

    def _stopped(self, reason: str) -> journal.Ended:
        return journal.Ended(state="stopped", reason=reason, advice=(self._how_to_go_on(),))

    def _failed(self, reason: str, *advice: str) -> journal.Ended:
        return journal.Ended(state="failed", reason=reason, advice=(*advice, self._how_to_go_on()))

    def _how_to_go_on(self) -> str:
        return f"`ftui chain resume {self._folder.id}` goes on there; no finished stage is redone"


def main(arguments: list[str] | None = None) -> int:
    """Conduct the chain in the folder given; return 0 when it finished or was stopped."""
    return attend("tui_ft.chains.conductor", Conductor, arguments)


if __name__ == "__main__":
    sys.exit(main())
