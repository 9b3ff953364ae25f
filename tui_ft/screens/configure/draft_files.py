"""A draft in files: in `$EDITOR`, and written for others to read."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from textual.app import App

from tui_ft import paths, text
from tui_ft.spec.draft import Draft
from tui_ft.widgets.confirm import Confirm

_OF_MODEL_AND_DATA: Final = (
    *("model.name_or_path", "data.train", "data.eval"),
    *("data.config", "data.revision", "data.train_split", "data.eval_split"),
)
"""What a preset leaves as it is: which model, and which rows."""


def begun_with(preset: str, before: Draft) -> Draft:
    """Return a draft that begins with a preset, for the model and the data of ``before``."""
    draft = Draft.from_preset(preset)
    for one in before.fields:
        if one.key in _OF_MODEL_AND_DATA and before.is_set(one.key):
            draft = draft.with_text(one, before.text_of(one))
    return draft


def in_editor(app: App[Any], draft: Draft) -> str | None:
    """Return the draft's YAML as a person left it in `$VISUAL` or `$EDITOR`; None if that failed.

    What was left may be no YAML any more: nothing that was written is thrown away here.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="ftui-") as folder:
        file = Path(folder) / "run.yaml"
        paths.write_atomically(file, draft.to_yaml())
        try:
            with app.suspend():
                subprocess.run([*shlex.split(editor), str(file)], check=False)
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # no such program, no text, quotes left open
            app.notify(f"{editor}: {error}", severity="error", markup=False)
    return None


def write_draft(app: App[Any], draft: Draft, file: Path, written: Callable[[], None]) -> None:
    """Write what has been said, readable by the user alone; asks before a file is replaced.

    Args:
        app: where it is asked and told.
        draft: what is written.
        file: where to.
        written: called once that is done; what was typed can go.
    """

    def write(yes: bool | None) -> None:
        if not yes:
            return
        try:
            paths.make_private_dir(file.parent)
            paths.write_atomically(file, draft.to_yaml())
        except OSError as error:
            said = f"{file} cannot be written: {error.strerror}"
            app.notify(said, severity="error", markup=False)
        else:
            app.notify(f"written to {file.absolute()}", markup=False)
            written()

    try:
        is_folder, is_there = file.is_dir(), file.exists()
    except OSError as error:  # closed to us, or no name that a file can have
        app.notify(text.of_system(error), severity="error", markup=False)
        return
    if is_folder:
        app.notify(f"{file} is a folder: name a file", severity="error", markup=False)
    elif is_there:
        app.push_screen(Confirm(f"Replace {file}?", "What it holds is lost.", "Replace"), write)
    else:
        write(True)
