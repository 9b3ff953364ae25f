"""How a chain is: its stages, the run of each, and what the whole does or why it ended."""

from __future__ import annotations

import socket
from typing import Literal

import msgspec

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder, all_chains
from tui_ft.runs.folder import RunFolder, all_folders
from tui_ft.runs.place import read_place
from tui_ft.runs.registry import RunSummary, summary_of
from tui_ft.spec import SpecError
from tui_ft.spec.chain import Chain

ChainState = Literal["running", "finished", "stopped", "failed", "crashed"]


class StageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A stage, and how its run is.

    Attributes:
        state: of its run; `waiting` where there is none yet.
        takes: the stages whose output it takes.
        run: its run's id.
        reason: why its run ended, or what it does now.
    """

    name: str
    objective: str
    method: str
    takes: tuple[str, ...] = ()
    state: str = "waiting"
    run: str | None = None
    step: int | None = None
    total_steps: int | None = None
    reason: str = ""


class ChainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A chain on one line, and its stages; times are Unix seconds."""

    id: str
    state: ChainState
    reason: str
    advice: tuple[str, ...] = ()
    created: float | None = None
    ended: float | None = None
    stages: tuple[StageStatus, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether its process is at work."""
        return self.state == "running"


def status_of(folder: ChainFolder) -> ChainStatus:
    """Return how the chain in ``folder`` is, as true as can be known from here."""
    attended = folder.is_attended()
    events = journal.read(folder)  # after the lock: its last word is written while it is held
    created = events[0].t if events else None
    try:
        chain = folder.chain()
    except SpecError as error:
        return ChainStatus(id=folder.id, state="failed", reason=str(error), created=created)
    runs = runs_by_stage(folder, events)
    stages = tuple(_stage(chain, stage.name, runs) for stage in chain.stages)
    last = events[-1] if events else None
    if isinstance(last, journal.Ended):
        return ChainStatus(
            id=folder.id,
            state=last.state,
            reason=last.reason,
            advice=last.advice,
            created=created,
            ended=last.t,
            stages=stages,
        )
    at_work = next((one for one in stages if one.state != "finished"), stages[-1])
    if attended or _is_elsewhere(events):
        said = f"stage {at_work.name}: {at_work.reason or at_work.state}"
        return ChainStatus(
            id=folder.id, state="running", reason=said, created=created, stages=stages
        )
    return ChainStatus(
        id=folder.id,
        state="crashed",
        reason="its process is gone without a word: killed, or the machine went down; "
        f"stage {at_work.name} is {at_work.state}",
        advice=(
            f"`ftui chain resume {folder.id}` goes on from there; no finished stage is redone",
        ),
        created=created,
        stages=stages,
    )


def all_statuses() -> list[ChainStatus]:
    """Return every chain's status: the live ones first, then the newest first."""
    found = [status_of(folder) for folder in all_chains()]
    return sorted(found, key=lambda one: (not one.is_live, -(one.created or 0.0), one.id))


def runs_by_stage(folder: ChainFolder, events: list[journal.Event]) -> dict[str, RunFolder]:
    """Return the run of each stage that has one which is still there.

    One that was started in the very moment in which the chain's process was killed is not in the
    journal; its folder says which stage it is.
    """
    known = journal.runs_of(events)
    # A chain that was deleted may have had this one's name.
    born = events[0].t if events else 0.0
    changed = {e.stage: e.t for e in events if isinstance(e, journal.Changed)}
    found: dict[str, RunFolder] = {}
    for run in all_folders():
        place = read_place(run.path)
        if place is None or place.chain != folder.id:
            continue
        is_newer = run.spec_file.stat().st_mtime > changed.get(place.stage, born)
        if known.get(place.stage, run.id if is_newer else "") == run.id:
            found[place.stage] = run
    return found


def _stage(chain: Chain, name: str, runs: dict[str, RunFolder]) -> StageStatus:
    stage = chain.stage(name)
    bare = StageStatus(
        name=name,
        objective=stage.run.objective.kind,
        method=stage.run.method.kind,
        takes=tuple(dict.fromkeys(one.stage for one in chain.references(stage))),
    )
    if name not in runs:
        return bare
    summary: RunSummary = summary_of(runs[name])
    return msgspec.structs.replace(
        bare,
        state=summary.state,
        run=summary.id,
        step=summary.step,
        total_steps=summary.total_steps,
        reason=summary.reason,
    )


def _is_elsewhere(events: list[journal.Event]) -> bool:
    """Tell whether its process is on another host, of which the lock says nothing here."""
    attended = [event for event in events if isinstance(event, journal.Attended)]
    return bool(attended) and attended[-1].host != socket.gethostname()
