"""How a chain is: its stages, the run of each, and what the whole does or why it ended."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec

from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder, all_chains
from tui_ft.chains.glance import ChainState, verdict_of
from tui_ft.chains.stages import is_done, runs_by_stage
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.registry import RunSummary, place_in_list, summary_of
from tui_ft.spec import SpecError
from tui_ft.spec.chain import Chain


class StageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A stage, and how its run is.

    Attributes:
        state: of its run; `waiting` where there is none yet, `deleted` where it is not any more.
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
    deleted = journal.runs_of(events).keys() - runs.keys()
    stages = tuple(_stage(chain, stage.name, runs, deleted) for stage in chain.stages)
    left = (one for one in stages if not is_done(chain, chain.stage(one.name), runs))
    now = next(left, stages[-1])
    how = now.reason or now.state
    verdict = verdict_of(folder, events, attended=attended, at_work=now.name, how=how)
    return ChainStatus(
        id=folder.id,
        state=verdict.state,
        reason=verdict.reason,
        advice=verdict.advice,
        created=created,
        ended=verdict.ended,
        stages=stages,
    )


def all_statuses() -> list[ChainStatus]:
    """Return every chain's status: the live ones first, then the newest first."""
    return sorted((status_of(folder) for folder in all_chains()), key=place_in_list)


def _stage(
    chain: Chain, name: str, runs: dict[str, RunFolder], deleted: AbstractSet[str]
) -> StageStatus:
    stage = chain.stage(name)
    bare = StageStatus(
        name=name,
        objective=stage.run.objective.kind,
        method=stage.run.method.kind,
        takes=tuple(dict.fromkeys(one.stage for one in chain.references(stage))),
    )
    if name not in runs:
        gone = name in deleted
        return msgspec.structs.replace(bare, state="deleted") if gone else bare
    summary: RunSummary = summary_of(runs[name])
    return msgspec.structs.replace(
        bare,
        state=summary.state,
        run=summary.id,
        step=summary.step,
        total_steps=summary.total_steps,
        reason=summary.reason,
    )
