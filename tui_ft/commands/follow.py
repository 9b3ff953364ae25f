"""Follow a run as lines: for a log file, a pipe, or a terminal that shall stay plain."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from tui_ft import text
from tui_ft.commands.output import leave_when_unread, say, say_encoded, warn
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory, describe
from tui_ft.runs.reader import RunReader
from tui_ft.runs.registry import RunSummary, summary_of

_POLL_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 2.0


class LineWriter:
    """Turns events into lines; figures of progress at most every two seconds."""

    def __init__(self) -> None:
        self._progress_at = float("-inf")
        self._phase = ""

    def lines(self, event: ev.Event, history: RunHistory) -> list[str]:
        """Return what ``event`` is worth saying now."""
        clock = time.strftime("%H:%M:%S", time.localtime(event.t))
        if isinstance(event, ev.Phase):
            return self._phase_lines(clock, event)
        if isinstance(event, ev.Progress):
            return self._progress_lines(clock, event, history)
        said = describe(event)
        return [f"{clock} {said}"] if said else []

    def _phase_lines(self, clock: str, event: ev.Phase) -> list[str]:
        done = "" if event.done is None else f": {_share(event)}"
        new = event.text != self._phase
        if event.phase in ("train", "evaluate") or not (new or self._is_time()):
            return []
        self._phase = event.text
        return [f"{clock} {event.text}{done}"]

    def _progress_lines(self, clock: str, event: ev.Progress, history: RunHistory) -> list[str]:
        last = event.step == event.total_steps
        if not (last or self._is_time()):
            return []
        parts = [f"step {event.step}/{event.total_steps}", f"epoch {event.epoch:.2f}"]
        leading, rate = history.leading, history.series("tokens_per_second").last()
        newest = history.series(leading).last()
        if newest is not None:
            parts.append(f"{leading} {text.significant(newest)}")
        if rate is not None:
            parts.append(f"{text.count(rate)} tokens/s")
        if not last:
            parts.append(f"left {text.duration(event.eta_s)}")
        return [f"{clock} {'  '.join(parts)}"]

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._progress_at < _LINE_SECONDS:
            return False
        self._progress_at = now
        return True


def follow(folder: RunFolder, *, as_json: bool = False) -> RunSummary:
    """Print the run from its beginning until it ends; return its summary."""
    reader, writer = RunReader(folder), LineWriter()
    while True:
        summary = summary_of(folder)
        while new := reader.poll():
            for event in new:
                if as_json:
                    say_encoded(ev.encode(event))
                    continue
                for line in writer.lines(event, reader.history):
                    say(line)
            leave_when_unread()
        if not summary.is_live:
            break
        time.sleep(_POLL_SECONDS)
    tell = warn if as_json else say
    if summary.state == "crashed":  # nobody was left to write that into the events
        tell(f"{summary.state}: {summary.reason}")
        if as_json and reader.history.ended is None:
            why, then = summary.reason, summary.advice
            told = ev.Ended(state="crashed", reason=why, advice=then, t=time.time())
            say_encoded(ev.encode(told))
    for advice in () if as_json else summary.advice:
        say(f"  {advice}")
    return summary


def exit_code(summary: RunSummary) -> int:
    """Return 0 for a run that finished or was stopped, else 1."""
    return 0 if summary.state in ("finished", "stopped") else 1


def as_row(summary: RunSummary) -> dict[str, object]:
    """Return the summary as a mapping for JSON."""
    row: dict[str, object] = msgspec.to_builtins(summary)
    return row


def _share(phase: ev.Phase) -> str:
    """Return how far a phase is: `48 of 64 rows`, `1.2 GB of 5.4 GB`, `24 rows`."""
    amount = text.size if phase.unit == "B" else text.count
    total = f" of {amount(phase.total)}" if phase.total else ""
    return f"{amount(phase.done)}{total} {'' if phase.unit == 'B' else phase.unit}".rstrip()
