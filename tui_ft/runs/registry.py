"""The runs of this `$FTUI_HOME`, each in one summary: what the lists show."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final, Protocol

import msgspec

from tui_ft import text
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder, all_folders
from tui_ft.runs.history import RunHistory
from tui_ft.runs.orphans import in_words, orphan_of
from tui_ft.runs.place import read_place
from tui_ft.runs.reader import RunReader

HEARTBEAT_SECONDS: Final = 2.0
BEGINNING_SECONDS: Final = 90.0
"""A process that is starting up has said something before so many seconds are over."""
_STALE_SECONDS: Final = 30.0
STALE_ELSEWHERE_SECONDS: Final = 90.0
"""On another host the lock says nothing: an older heartbeat means the supervisor is gone.

NFS shows what others have written up to a minute late (acdirmax).
"""
_SILENT_SECONDS: Final = 15.0


class Listed(Protocol):
    """What stands in a list: a run, or a chain."""

    @property
    def id(self) -> str:
        """What it is called."""

    @property
    def is_live(self) -> bool:
        """Whether it is at work."""

    @property
    def created(self) -> float | None:
        """When it began, in Unix seconds."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One run on one line. Times are Unix seconds; None where there is nothing to say yet.

    Attributes:
        reason: why it ended, or what it waits for or does now.
        heartbeat: when its supervisor last wrote; `host` and `pid` are the supervisor's.
        reward: the newest mean reward, where answers are rewarded.
        gpus: the GPUs it holds, by number.
        rungs: what it changed when memory ran out, in words, one for each step of its ladder.
        place: its place in a chain, in words.
        orphan: the worker that has outlived its supervisor; 0 without one, -1 where its number is
            not known.
    """

    id: str
    state: ev.State
    reason: str = ""
    advice: tuple[str, ...] = ()
    step: int | None = None
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    reward: float | None = None
    eta_s: float | None = None
    created: float | None = None
    ended: float | None = None
    host: str = ""
    user: str = ""
    pid: int = 0
    worker_pid: int = 0
    heartbeat: float = 0.0
    gpus: tuple[int, ...] = ()
    attempt: int = 0
    method: str = ""
    model: str = ""
    alerts: int = 0
    rungs: tuple[str, ...] = ()
    place: str = ""
    orphan: int = 0

    @property
    def is_live(self) -> bool:
        """Whether the run is queued or at work."""
        return self.state not in ev.ENDED

    @property
    def fraction(self) -> float | None:
        """The share of steps done, 0 to 1."""
        if self.step is None or not self.total_steps:
            return None
        return min(1.0, self.step / self.total_steps)


def summarise(run_id: str, history: RunHistory) -> RunSummary:
    """Return the summary of what ``history`` tells; the supervisor adds what it alone knows."""
    progress, plan, ended = history.progress, history.plan, history.ended
    last_step = history.series("loss").x[-1] if history.series("loss").x else None
    step = progress.step if progress else (None if last_step is None else int(last_step))
    if step is not None:  # what is saved was done, also between two words on progress
        step = max([step, *history.checkpoints])
    total = plan.total_steps if plan else (progress.total_steps if progress else None)
    evaluations = history.evaluations.get("eval_loss")
    attempt = history.attempt
    return RunSummary(
        id=run_id,
        state=history.state,
        reason=ended.reason if ended else (history.phase.text if history.phase else ""),
        advice=ended.advice if ended else (),
        step=step,
        total_steps=total,
        epoch=progress.epoch if progress else None,
        loss=history.series("loss").last(),
        reward=history.series("reward").last(),
        eval_loss=evaluations.last() if evaluations else None,
        eta_s=progress.eta_s if progress and not ended else None,
        created=history.clock.created,
        ended=history.clock.ended,
        host=attempt.host if attempt else "",
        user=attempt.user if attempt else "",
        pid=attempt.pid if attempt else 0,
        attempt=attempt.number if attempt else 0,
        method=plan.method if plan else "",
        alerts=sum(alert.severity != "note" for alert in history.alerts),
        rungs=tuple(rung.words for rung in history.rungs),
    )


def summary_of(folder: RunFolder, now: float | None = None) -> RunSummary:
    """Return the summary of the run in ``folder``, as true as can be known from here.

    A run without an end whose supervisor is gone is `crashed`, with what can be done about it.
    """
    now = time.time() if now is None else now
    status = read_status(folder)
    if status is None or (not status.is_live and _is_behind(folder, status)):
        status = placed(folder, summarise(folder.id, RunReader(folder).catch_up()))
    if not status.is_live:
        return status
    if _supervisor_lives(folder, status, now):
        return _with_silence(folder, status, now)
    # It may have ended since its status was read: its last word stands before the lock is free.
    ended = placed(folder, summarise(folder.id, RunReader(folder).catch_up()))
    if not ended.is_live:
        return ended
    return msgspec.structs.replace(
        status, state="crashed", eta_s=None, **_what_now(folder, status, now)
    )


def placed(folder: RunFolder, summary: RunSummary) -> RunSummary:
    """Return ``summary`` with the run's place in its chain, where it has one."""
    place = read_place(folder.path)
    return summary if place is None else msgspec.structs.replace(summary, place=str(place))


def list_runs() -> list[RunSummary]:
    """Return every run's summary: the live ones first, then the newest first."""
    now = time.time()
    return sorted((summary_of(folder, now) for folder in all_folders()), key=place_in_list)


def place_in_list(one: Listed) -> tuple[bool, float, str]:
    """Return the key to sort runs, or chains, by: the live ones first, then the newest first."""
    return not one.is_live, -(one.created or 0.0), one.id


def read_status(folder: RunFolder) -> RunSummary | None:
    """Return the summary that the supervisor wrote last, or None when there is none.

    Somebody may have given the folder another name, or copied it, since.
    """
    try:
        status = msgspec.json.decode(folder.status_file.read_bytes(), type=RunSummary)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None
    return msgspec.structs.replace(status, id=folder.id)


def _is_behind(folder: RunFolder, status: RunSummary) -> bool:
    try:
        return folder.events_file.stat().st_mtime > status.heartbeat + _STALE_SECONDS
    except OSError:
        return False


def _supervisor_lives(folder: RunFolder, status: RunSummary, now: float) -> bool:
    if status.host in ("", socket.gethostname()):
        if folder.is_attended():
            return True
        # Between the launch and the lock the supervisor is still starting up.
        return not status.attempt and _was_made_since(folder, now - BEGINNING_SECONDS)
    return now - last_seen(folder, status) < STALE_ELSEWHERE_SECONDS


def is_elsewhere(summary: RunSummary) -> bool:
    """Tell whether its supervisor is, or was, on another host."""
    return summary.host not in ("", socket.gethostname())


def last_seen(folder: RunFolder, summary: RunSummary) -> float:
    """Return when the run's supervisor last wrote anything, in Unix seconds."""
    with contextlib.suppress(OSError):
        return max(summary.heartbeat, folder.events_file.stat().st_mtime)
    return summary.heartbeat


def where_seen(folder: RunFolder, summary: RunSummary, now: float | None = None) -> str:
    """Return ` on HOST (seen N ago by its heartbeat)`; nothing for a run of this host."""
    if not is_elsewhere(summary):
        return ""
    ago = max(0.0, (time.time() if now is None else now) - last_seen(folder, summary))
    return f" on {summary.host} (seen {text.age(ago)} ago by its heartbeat)"


def may_live_elsewhere(summary: RunSummary) -> bool:
    """Tell whether its supervisor may be at work on another host, whatever is seen from here.

    Locks of flock may not reach from host to host, and a host that is cut off writes nothing.
    """
    return is_elsewhere(summary) and summary.ended is None and not summary.is_live


def _with_silence(folder: RunFolder, status: RunSummary, now: float) -> RunSummary:
    if not is_elsewhere(status) or now - last_seen(folder, status) < _SILENT_SECONDS:
        return status
    does = f"; {status.reason}" if status.reason else ""
    reason = f"runs{where_seen(folder, status, now)}{does}"
    return msgspec.structs.replace(status, reason=reason)


def _was_made_since(folder: RunFolder, t: float) -> bool:
    try:
        return folder.spec_file.stat().st_mtime > t
    except OSError:  # somebody deletes it just now
        return False


def _what_now(folder: RunFolder, status: RunSummary, now: float) -> dict[str, object]:
    if is_elsewhere(status):
        host = status.host
        return {
            "reason": f"it ran{where_seen(folder, status, now)}: its supervisor there is gone, or "
            f"{host} does not reach this folder any more",
            "advice": (
                f"`ftui runs` on {host} tells which",
                f"if it is gone, `ftui resume {folder.id} --anyway` takes it up here",
            ),
        }
    where = f" on {status.host}" if status.host else ""
    orphan = orphan_of(folder)
    checkpoints = folder.checkpoints()
    if checkpoints:
        advice = f"resume it from step {checkpoints[-1][0]}: `ftui resume {folder.id}`"
    else:
        advice = f"no checkpoint was saved: `ftui resume {folder.id}` starts it again"
    still = (
        f"its worker ({in_words(folder, orphan)}) saves what it has learned, and goes then; if it "
        f"hangs, `ftui kill {folder.id}` ends it",
    )[: bool(orphan)]
    return {
        "reason": f"its supervisor{where} is gone without a word: killed, or the machine went down",
        "advice": (*still, advice, f"see {folder.log} and {folder.worker_log}"),
        "orphan": orphan,
    }
