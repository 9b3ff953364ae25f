"""What the Hugging Face cache holds of a repository: the folder of one of its versions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tui_ft.hub.places import hub_cache


def repository_of(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which a model's versions are kept, whether there are any or not."""
    return hub_cache(environ) / f"models--{name.replace('/', '--')}"


def snapshot_of(
    name: str, revision: str | None = None, environ: Mapping[str, str] = os.environ
) -> Path | None:
    """Return the folder of a model's version, which may lack files; None where none is kept.

    Args:
        name: the model's id.
        revision: branch, tag or commit; the main branch when not given.
        environ: honours HF_HOME and HF_HUB_CACHE.
    """
    repository = repository_of(name, environ)
    reference = repository / "refs" / (revision or "main")
    try:
        commit = reference.read_text().strip() if reference.is_file() else (revision or "")
        snapshot = repository / "snapshots" / commit
        return snapshot if commit and snapshot.is_dir() else None
    except (OSError, ValueError):
        return None
