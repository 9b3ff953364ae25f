"""Data sets at hand: those looked at lately, and files that a path may mean as it is typed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.data.files import kinds
from tui_ft.data.files.hub_download import fetched
from tui_ft.survey.folder import newest_first, read_summary
from tui_ft.survey.request import Request, read_request

_MOST_ENTRIES: Final = 20_000
"""Of a folder; a person who keeps more in one types the whole name."""


@dataclass(frozen=True, slots=True)
class Recent:
    """A data set that was surveyed, as it was asked for.

    Attributes:
        request: with format and columns as they were chosen; its model is not kept.
        name: the path, or its id on the Hub.
        format: as it was found; empty if none was.
        rows: that could be read.
        bytes: of its files.
    """

    request: Request
    name: str
    format: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file or folder that what was typed may become.

    Attributes:
        typed: what stands in the field once it is taken; of a folder with a slash at its end.
        bytes: of a file.
    """

    typed: str
    is_folder: bool
    bytes: int = 0


def recent_data(most: int = 10) -> tuple[Recent, ...]:
    """Return the data sets surveyed last that are still there, the newest first."""
    found: dict[tuple[object, ...], Recent] = {}
    for folder in newest_first():
        recent = _recent(folder)
        if recent is not None:
            request = recent.request
            key = (request.path, request.format, *sorted(request.columns.items()))
            found.setdefault(key, recent)
        if len(found) >= most:
            break
    return tuple(found.values())


def completions(typed: str, most: int = 50) -> tuple[Candidate, ...]:
    """Return files that can be read and folders whose path begins with ``typed``, by name.

    Hidden ones only where their dot was typed; capital letters count as small ones. Nothing for a
    folder that cannot be listed.
    """
    before, slash, beginning = typed.rpartition("/")
    folder = paths.expand(before + slash) if slash else Path()
    wanted = beginning.casefold()
    found: list[Candidate] = []
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, _MOST_ENTRIES):
                is_hidden = entry.name.startswith(".") and not beginning.startswith(".")
                if entry.name.casefold().startswith(wanted) and not is_hidden:
                    candidate = _candidate(entry, before + slash)
                    if candidate is not None:
                        found.append(candidate)
    except (OSError, ValueError):
        return ()
    return tuple(sorted(found, key=lambda one: (one.is_folder, one.typed))[:most])


def common_beginning(candidates: tuple[Candidate, ...]) -> str:
    """Return what all of them begin with."""
    typed = [candidate.typed for candidate in candidates]
    shortest = min(typed, key=len, default="")
    alike = (
        at for at, letter in enumerate(shortest) if any(other[at] != letter for other in typed)
    )
    return shortest[: next(alike, len(shortest))]


def _candidate(entry: os.DirEntry[str], before: str) -> Candidate | None:
    try:
        if entry.is_dir():
            return Candidate(f"{before}{entry.name}/", is_folder=True)
        if kinds.kind_of(Path(entry.name)) in kinds.READABLE and entry.is_file():
            return Candidate(before + entry.name, is_folder=False, bytes=entry.stat().st_size)
    except OSError:  # gone, or a link that leads nowhere
        return None
    return None


def _recent(folder: Path) -> Recent | None:
    request, summary = read_request(folder), read_summary(folder)
    if request is None or summary is None or not paths.expand(request.path).exists():
        return None
    form = summary.layout.format if summary.layout is not None else ""
    record = fetched(Path(request.path))
    name = request.path if record is None else record.wanted.id
    return Recent(request, name, form, summary.rows, summary.bytes_total)
