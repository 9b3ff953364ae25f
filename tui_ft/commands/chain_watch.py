"""Follow a chain as lines: which stage is at work, how far it is, how each ended."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from tui_ft.commands.output import leave_when_unread, left_alone, say, say_json

if TYPE_CHECKING:
    from tui_ft.chains.folder import ChainFolder
    from tui_ft.chains.status import ChainStatus, StageStatus

_POLL_SECONDS: Final = 0.5
_PROGRESS_SECONDS: Final = 10.0


def watch_and_leave(folder: ChainFolder, *, as_json: bool = False) -> None:
    """Follow a chain, and end with its exit code; ctrl+c leaves the chain alone."""
    with left_alone(folder.id, "ftui chain", "saves a checkpoint of its run and stops it"):
        ended = _watch(folder, as_json=as_json)
    sys.exit(0 if ended.state in ("finished", "stopped") else 1)


def _watch(folder: ChainFolder, *, as_json: bool) -> ChainStatus:
    """Print each change until the chain ends; with JSON each is a status on a line."""
    from tui_ft.chains.status import status_of

    told: dict[str, tuple[str, str | None]] = {}
    told_at = float("-inf")
    while True:
        status = status_of(folder)
        is_time = time.monotonic() - told_at > _PROGRESS_SECONDS
        new = [one for one in status.stages if told.get(one.name) != (one.state, one.run)]
        shown = new or [one for one in status.stages if is_time and _is_at_work(one)]
        if shown or not status.is_live:
            told |= {one.name: (one.state, one.run) for one in status.stages}
            told_at = time.monotonic()
            if as_json:
                say_json(status)
            else:
                clock = time.strftime("%H:%M:%S")
                for one in shown:
                    if one.state != "waiting":
                        say(f"{clock} {stage_line(one)}")
            leave_when_unread()
        if not status.is_live:
            break
        time.sleep(_POLL_SECONDS)
    if not as_json:
        say(f"{status.id}  {status.state}  {status.reason}")
        for advice in status.advice:
            say(f"  → {advice}")
    return status


def stage_line(one: StageStatus) -> str:
    """Return how a stage is, on one line."""
    steps = f"  step {one.step}/{one.total_steps}" if one.step and one.total_steps else ""
    reason = f"  {one.reason}" if one.reason else ""
    return f"stage {one.name}  {one.run or ''}  {one.state}{steps}{reason}"


def _is_at_work(one: StageStatus) -> bool:
    from tui_ft.runs.events import ENDED

    return one.run is not None and one.state not in (*ENDED, "deleted")
