"""Signs and words that all who show advice have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tui_ft import text
from tui_ft.advise.advice import Choice, Phase
from tui_ft.advise.situation import How
from tui_ft.widgets.signs import SignName

HOW: Final[Mapping[How, SignName]] = {
    "measured": "good",
    "asked": "selected",
    "assumed": "unknown",
}
FITS: Final[Mapping[str, SignName]] = {
    "fits": "good",
    "tight": "warning",
    "no": "bad",
    "unknown": "unknown",
}


def phase_line(phase: Phase) -> str:
    """Return what a stage takes: its way to train, memory against what is free, time."""
    sizes = f"{text.memory(phase.expected)} (at most {text.memory(phase.high)})"
    free = f" of {text.memory(phase.free)} free" if phase.free is not None else ""
    low, high = text.duration(phase.seconds_low), text.duration(phase.seconds_high)
    takes = sizes + free if phase.expected is not None else "memory not known"
    time = "" if phase.seconds is None else f", {text.duration(phase.seconds)} ({low} to {high})"
    left = f"; to be filled in: {', '.join(phase.fill)}" if phase.fill else ""
    return f"{phase.name}, {phase.method.replace('_', ' ')}: {takes}{time}{left}"


def differing(first: Phase, later: Phase) -> tuple[Choice, ...]:
    """Return the fields of a later stage that are not as in the first one."""
    same = {choice.key: choice.value for choice in first.choices}
    return tuple(
        choice
        for choice in later.choices
        if choice.key not in same or same[choice.key] != choice.value
    )
