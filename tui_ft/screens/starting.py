"""Start a run from a screen: checked first, and what stands against it said in words."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content

from tui_ft import paths, text
from tui_ft.runs import preflight
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.runs.launch import launch, with_absolute_paths
from tui_ft.spec import RunSpec
from tui_ft.widgets.signs import sign


def start_run(spec: RunSpec) -> tuple[RunFolder | None, list[Content]]:
    """Return the run that was started, or what stands against it. Takes a moment; never raises."""
    spec = with_absolute_paths(spec, Path.cwd())
    findings = preflight.check(spec, paths.runs_dir())
    bad = [finding for finding in findings if finding.severity == "bad"]
    if bad:
        return None, [problem(f"{f.text}{f' ({f.advice})' if f.advice else ''}") for f in bad]
    try:
        return launch(spec), []
    except RunError as error:
        return None, [problem(str(error))]


def problem(words: str) -> Content:
    """Return ``words`` with the sign of what is bad before them."""
    return sign("bad").content(text.plain(words))
