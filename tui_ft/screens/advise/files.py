"""Advice in a file: its run or chain as YAML, with the reason for every field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.app import App

from tui_ft import paths
from tui_ft.advise.advice import Advice


def write_advice(app: App[Any], advice: Advice, file: Path) -> bool:
    """Write the run or the chain, replacing nothing; say what came of it, and whether it is done.

    Args:
        app: where it is said.
        advice: has something to write.
        file: where to.
    """
    from tui_ft.advise.writing.explained_yaml import explained_yaml

    said = ""
    try:
        if file.exists():
            said = f"{file} is there already: give another name"
        else:
            paths.write_atomically(file, explained_yaml(advice))
    except OSError as error:
        said = f"{file} cannot be written: {error.strerror}"
    if said:
        app.notify(said, severity="error", markup=False)
        return False
    left = ", ".join(advice.fill)
    more = f"; fill in {left} where it says FILL IN" if left else ""
    app.notify(f"written to {file.absolute()}{more}", markup=False)
    return True
