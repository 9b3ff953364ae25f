"""A chain at a glance: from its journal and the summaries of its runs, which a list has anyway.

It reads no spec, so that a list of runs is made as quickly with chains as without.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from tui_ft import text
from tui_ft.chains import journal
from tui_ft.chains.folder import ChainFolder, all_chains
from tui_ft.runs.place import Place
from tui_ft.runs.registry import BEGINNING_SECONDS, STALE_ELSEWHERE_SECONDS, RunSummary

ChainState = Literal["running", "finished", "stopped", "failed", "crashed"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a chain is as a whole, what it does or why it ended, and what to do about it."""

    state: ChainState
    reason: str
    advice: tuple[str, ...] = ()
    ended: float | None = None


class ChainGlance(msgspec.Struct, frozen=True, kw_only=True):
    """A chain on one line; times are Unix seconds.

    Attributes:
        place: the stage that it is at, or was at last.
        done: how many stages have finished.
        runs: the ids of its runs, in the order of their stages.
        at: the id of the run that it is at, or was at last.
    """

    id: str
    verdict: Verdict
    created: float | None = None
    place: Place | None = None
    done: int = 0
    runs: tuple[str, ...] = ()
    at: str = ""

    @property
    def is_live(self) -> bool:
        """Whether its process is at work."""
        return self.verdict.state == "running"


def glances(runs: Sequence[RunSummary]) -> list[ChainGlance]:
    """Return every chain, the newest first, from the summaries of all runs.

    Also those that have no run: none has begun, or all were deleted.
    """
    placed = [(run, place) for run in runs if (place := Place.parse(run.place)) is not None]
    return [
        _glance(folder, [(run, place) for run, place in placed if place.chain == folder.id])
        for folder in all_chains()
    ]


def verdict_of(
    folder: ChainFolder, events: Sequence[journal.Event], *, attended: bool, at_work: str, how: str
) -> Verdict:
    """Return how a chain is, as true as can be known from here.

    Args:
        folder: the chain's.
        events: its journal, read after the lock was looked at.
        attended: whether its lock was held: its last word is written while it is.
        at_work: the stage that is to be done now; empty where no run tells which.
        how: what that does, or its state.
    """
    last = events[-1] if events else None
    if isinstance(last, journal.Ended):
        return Verdict(state=last.state, reason=last.reason, advice=last.advice, ended=last.t)
    at = f"stage {at_work}: {how}" if at_work else how
    if attended or _is_at_work_elsewhere(folder, events) or _begins(folder, events):
        return Verdict(state="running", reason=at)
    host = host_elsewhere(events)
    if host:
        ago = text.age(max(0.0, time.time() - folder.last_beat()))
        return Verdict(
            state="crashed",
            reason=f"its process ran on {host} (seen {ago} ago by its heartbeat): it is gone, or "
            f"{host} does not reach this folder any more; {at}",
            advice=(
                f"`ftui chain list` on {host} tells which",
                f"if it is gone, `ftui chain resume {folder.id} --anyway` goes on here",
            ),
        )
    go_on = f"`ftui chain resume {folder.id}` goes on from there; no finished stage is redone"
    return Verdict(
        state="crashed",
        reason=f"its process is gone without a word: killed, or the machine went down; {at}",
        advice=(go_on,),
    )


def _glance(folder: ChainFolder, placed: list[tuple[RunSummary, Place]]) -> ChainGlance:
    attended = folder.is_attended()
    events = journal.read(folder)
    born = events[0].t if events else 0.0
    begun = {e.run: e.t for e in events if isinstance(e, (journal.Started, journal.Resumed))}
    # A chain that was deleted may have had this one's name, and its runs may be there.
    mine = sorted(
        ((run, place) for run, place in placed if (run.created or 0.0) >= born or run.id in begun),
        key=lambda one: (one[1].number, one[0].created or 0.0),
    )
    newest = {place.stage: run for run, place in mine}
    # Stages that are done anew stand before those of an earlier time.
    changed = {event.stage: event.t for event in events if isinstance(event, journal.Changed)}
    of_now = [run for name, run in newest.items() if (run.created or 0.0) > changed.get(name, 0.0)]
    place: Place | None = None
    name, how, at = "", "no run of it is there any more" if begun else "no run has begun", ""
    if mine:
        run, place = max(
            mine, key=lambda one: max(one[0].created or 0.0, begun.get(one[0].id, 0.0))
        )
        name, how, at = place.stage, run.reason or run.state, run.id
        if run.ended is not None and begun.get(run.id, 0.0) > run.ended:
            how = "is taken up again"  # it has not said a word of it yet
    return ChainGlance(
        id=folder.id,
        verdict=verdict_of(folder, events, attended=attended, at_work=name, how=how),
        created=born or None,
        place=place,
        done=sum(one.state == "finished" for one in of_now),
        runs=tuple(one.id for one, _ in mine),
        at=at,
    )


def _begins(folder: ChainFolder, events: Sequence[journal.Event]) -> bool:
    """Tell whether its process may still be starting up, before it has the lock."""
    try:
        return not events and time.time() - folder.chain_file.stat().st_mtime < BEGINNING_SECONDS
    except OSError:  # somebody deletes it just now
        return False


def host_elsewhere(events: Sequence[journal.Event]) -> str:
    """Return the other host whose process has not said that it ended; empty where there is none.

    Of such a process the lock says nothing here.
    """
    said = [one for one in events if isinstance(one, (journal.Attended, journal.Ended))]
    last = said[-1] if said else None
    is_elsewhere = isinstance(last, journal.Attended) and last.host != socket.gethostname()
    return last.host if isinstance(last, journal.Attended) and is_elsewhere else ""


def _is_at_work_elsewhere(folder: ChainFolder, events: Sequence[journal.Event]) -> bool:
    is_fresh = time.time() - folder.last_beat() < STALE_ELSEWHERE_SECONDS
    return bool(host_elsewhere(events)) and is_fresh
