"""One tracker's process: it reads what the run writes down, and hands it on.

The run knows nothing of it. Where the tracker hangs, this process ends itself; where it raises, it
says so in its log, and the supervisor passes that on to people. What was handed over is remembered,
so that the next attempt goes on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tui_ft import paths
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.reader import LineTail
from tui_ft.spec.tracking import TrackerName
from tui_ft.tracking.tracker import About, Figures, Tracker

CLASSES: Final[dict[TrackerName, str]] = {
    "tensorboard": "TensorBoardTracker",
    "wandb": "WandbTracker",
    "mlflow": "MlflowTracker",
    "trackio": "TrackioTracker",
}
_POLL_SECONDS: Final = 1.0
_HUNG: Final = 3
_LOCKED: Final = 4


class _State(msgspec.Struct):
    """What one attempt hands on to the next: bytes of `events.jsonl` that are done, and `keep`."""

    offset: int = 0
    keep: str | None = None


class Patience:
    """Ends the process when a call into a tracker does not come back."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds = name, seconds
        self._since: float | None = None
        threading.Thread(target=self._watch, daemon=True, name="ftui-patience").start()

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Watch what is done meanwhile."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 4))
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds:
                print(f"{self._name} has not answered for {self._seconds:g} s", file=sys.stderr)  # noqa: T201
                sys.stderr.flush()
                os._exit(_HUNG)


def feed(run_dir: Path, name: TrackerName, patience_seconds: float) -> int:
    """Hand on what the run in ``run_dir`` says until it ends; return the exit code."""
    folder = RunFolder(run_dir)
    place = paths.make_private_dir(run_dir / "tracking")
    with contextlib.ExitStack() as held:
        lock = held.enter_context((place / f"{name}.lock").open("w"))
        if not _locked(lock.fileno(), patience_seconds):
            print(f"{name} is still busy with an earlier attempt", file=sys.stderr)  # noqa: T201
            return _LOCKED
        try:
            _feed(folder, place, name, Patience(name, patience_seconds))
        except Exception as error:  # whatever it is, it is the tracker's, and not the run's
            traceback.print_exc()
            print(f"{type(error).__name__}: {_one_line(error)}", file=sys.stderr)  # noqa: T201
            return 1
    return 0


def _feed(folder: RunFolder, place: Path, name: TrackerName, patience: Patience) -> None:
    state_file = place / f"{name}.json"
    state = _read(state_file)
    spec = folder.spec()
    about = About(folder.id, spec.model_dump(mode="json"), place, spec.tracking, state.keep)
    with patience.during():
        tracker = _open(name, about)
    tail = LineTail(folder.events_file, state.offset)
    ended: str | None = None
    while True:
        supervised = folder.is_attended()  # before reading: what it wrote last is then there
        lines = tail.read()
        for line in lines:
            event = ev.decode(line)
            ended = _told(event, ended)
            taken = _figures_of(event)
            if taken is not None:
                with patience.during():
                    tracker.log(*taken)
        if lines:
            state = _State(offset=tail.offset, keep=tracker.keep)
            paths.write_atomically(state_file, msgspec.json.encode(state))
            continue
        if ended is not None or not supervised:
            break
        time.sleep(_POLL_SECONDS)
    with patience.during():
        tracker.close(ended or "crashed")


def _open(name: TrackerName, about: About) -> Tracker:
    module = importlib.import_module(f"tui_ft.tracking.{name}")
    tracker: Tracker = getattr(module, CLASSES[name])(about)
    return tracker


def _told(event: ev.Event | None, ended: str | None) -> str | None:
    """Return how the run ended, by what is told last."""
    match event:
        case ev.Ended(state=state):
            return state
        case ev.Attempt():
            return None
        case _:
            return ended


def _figures_of(event: ev.Event | None) -> tuple[Figures, int, float] | None:
    """Return the figures of an event, its step, and when; None for one that has none."""
    match event:
        case ev.Metrics(step=step, values=values):
            named = {f"train/{name}": value for name, value in values.items()}
        case ev.Evaluation(step=step, values=values):
            named = {f"eval/{name.removeprefix('eval_')}": v for name, v in values.items()}
        case ev.Score(when=when, values=scores):
            step, named = int(when == "after"), {f"score_{when}/{n}": v for n, v in scores.items()}
        case _:
            return None
    known = {name: value for name, value in named.items() if value is not None}
    return (known, step, event.t) if known else None


def _read(file: Path) -> _State:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_State)
    except (OSError, msgspec.DecodeError):
        return _State()


def _locked(descriptor: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS / 4)
        else:
            return True


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
