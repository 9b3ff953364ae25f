"""Which data sets are on this machine already, as the Hugging Face libraries left them there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_ft.hub.places import datasets_cache, hub_cache

# As datasets.naming.camelcase_to_snakecase writes folder names: `MyData` is kept in `my_data`.
_WORD: Final = (re.compile(r"([A-Z]+)([A-Z][a-z])"), re.compile(r"([a-z\d])([A-Z])"))
_TOO_DAMAGED: Final = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A config that `datasets` can load offline.

    Attributes:
        commit: which commit it was made of.
        rows: split -> rows.
        folder: where its tables are.
    """

    config: str
    commit: str
    rows: Mapping[str, int]
    folder: Path


@dataclass(frozen=True, slots=True)
class CachedDataset:
    """What is on this machine of a data set.

    Attributes:
        commits: those of which some files were fetched, the newest first.
        prepared: what can be loaded offline, the newest first.
    """

    commits: tuple[str, ...] = ()
    prepared: tuple[Prepared, ...] = ()


def cached_dataset(name: str, environ: Mapping[str, str] = os.environ) -> CachedDataset | None:
    """Return what is on this machine of the data set ``name``; None when nothing is."""
    snapshots = hub_cache(environ) / f"datasets--{name.replace('/', '--')}" / "snapshots"
    commits = tuple(folder.name for folder in _newest_first(snapshots, "*"))
    *owner, last = name.split("/")
    tables = datasets_cache(environ) / "___".join([*owner, _snake_case(last)])
    read = (_prepared(folder) for folder in _newest_first(tables, "*/*/*"))
    prepared = tuple(found for found in read if found is not None)
    return CachedDataset(commits, prepared) if commits or prepared else None


def cached_commit(
    name: str, revision: str | None, environ: Mapping[str, str] = os.environ
) -> str | None:
    """Return the commit that ``revision`` was when it was last fetched; None if it never was."""
    folder = hub_cache(environ) / f"datasets--{name.replace('/', '--')}"
    try:
        return (folder / "refs" / (revision or "main")).read_text().strip() or None
    except (OSError, ValueError):
        is_there = revision is not None and (folder / "snapshots" / revision).is_dir()
        return revision if is_there else None


def _prepared(folder: Path) -> Prepared | None:
    try:
        info = json.loads((folder / "dataset_info.json").read_bytes())
        rows = {str(name): int(split["num_examples"]) for name, split in info["splits"].items()}
    except _TOO_DAMAGED:
        return None
    return Prepared(str(info.get("config_name") or "default"), folder.name, rows, folder)


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    try:
        found = [(path.stat().st_mtime_ns, path) for path in folder.glob(pattern) if path.is_dir()]
    except (OSError, ValueError):
        return []
    return [path for _, path in sorted(found, reverse=True)]


def _snake_case(name: str) -> str:
    for word in _WORD:
        name = word.sub(r"\1_\2", name)
    return name.lower()
