"""Start a run from a screen: checked first, and what stands against it said in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content

from tui_ft import text
from tui_ft.hardware import Snapshot
from tui_ft.runs.checks.checking import findings, with_memory
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.launch import launch, with_absolute_paths
from tui_ft.spec import RunSpec
from tui_ft.widgets.signs import sign


@dataclass(frozen=True, slots=True)
class Start:
    """What came of starting a run.

    Attributes:
        folder: of the run that was started.
        problems: what stands against it; it was not started.
        warnings: what a person has to be asked about first; it was not started.
    """

    folder: RunFolder | None = None
    problems: tuple[Content, ...] = ()
    warnings: tuple[str, ...] = ()


def start_run(spec: RunSpec, *, anyway: bool = False) -> Start:
    """Start a run unless something stands against it. Takes a moment; never raises.

    Args:
        spec: the run.
        anyway: the warnings have been seen: start it in spite of them.
    """
    try:
        spec = with_absolute_paths(spec, Path.cwd())
        found = findings(spec, memory=False)
        bad = tuple(finding_line(one) for one in found if one.severity == "bad")
        warnings = () if anyway else warnings_of(found)
        if bad or warnings:
            return Start(problems=bad, warnings=() if bad else warnings)
        return Start(launch(spec))
    except RunError as error:
        return Start(problems=(problem(str(error)),))
    except OSError as error:
        return Start(problems=(problem(text.of_system(error)),))


def warnings_of(found: Iterable[Finding]) -> tuple[str, ...]:
    """Return the warnings among what was found, each with its advice, as plain text."""
    return tuple(_said(one) for one in found if one.severity == "warning")


def check_run(spec: RunSpec, snapshot: Snapshot | None) -> list[Content]:
    """Return what stands against a run and what it takes, without starting it; never raises."""
    try:
        found = with_memory(with_absolute_paths(spec, Path.cwd()), snapshot)
    except RunError as error:
        return [problem(str(error))]
    except OSError as error:
        return [problem(text.of_system(error))]
    return [finding_line(one) for one in found]


def finding_line(found: Finding) -> Content:
    """Return a finding, its advice in brackets, with its sign."""
    said = _said(found)
    return Content(said) if found.severity == "note" else sign(found.severity).content(said)


def _said(found: Finding) -> str:
    return text.plain(f"{found.text}{f' ({found.advice})' if found.advice else ''}")


def problem(words: str) -> Content:
    """Return ``words`` with the sign of what is bad before them."""
    return sign("bad").content(text.plain(words))
