"""Start a run from a screen: checked first, and what stands against it said in words."""

from __future__ import annotations

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


def start_run(spec: RunSpec) -> tuple[RunFolder | None, list[Content]]:
    """Return the run that was started, or what stands against it. Takes a moment; never raises."""
    try:
        spec = with_absolute_paths(spec, Path.cwd())
        bad = [one for one in findings(spec, memory=False) if one.severity == "bad"]
        if bad:
            return None, [_line(one) for one in bad]
        return launch(spec), []
    except RunError as error:
        return None, [problem(str(error))]
    except OSError as error:
        return None, [problem(text.of_system(error))]


def check_run(spec: RunSpec, snapshot: Snapshot | None) -> list[Content]:
    """Return what stands against a run and what it takes, without starting it; never raises."""
    try:
        found = with_memory(with_absolute_paths(spec, Path.cwd()), snapshot)
    except RunError as error:
        return [problem(str(error))]
    except OSError as error:
        return [problem(text.of_system(error))]
    return [_line(one) for one in found]


def _line(found: Finding) -> Content:
    """Return a finding, its advice in brackets, with its sign."""
    said = text.plain(f"{found.text}{f' ({found.advice})' if found.advice else ''}")
    return Content(said) if found.severity == "note" else sign(found.severity).content(said)


def problem(words: str) -> Content:
    """Return ``words`` with the sign of what is bad before them."""
    return sign("bad").content(text.plain(words))
