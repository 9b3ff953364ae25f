"""What the boxes of the Data screen need to know of the data set that is open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tui_ft.survey.summary import Summary


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A data set that has been surveyed to the end: how a person called it, and what is known."""

    name: str
    folder: Path
    summary: Summary
