"""Where the merged copy of an adapter and its base lies: one for all runs that begin with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import psutil

from tui_ft import paths, text
from tui_ft.hub.outputs import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, run_of

_BLOCK: Final = 1 << 20
_LONGEST_NAME: Final = 60
_IN_MEMORY: Final = 1.05
"""Host memory that merging takes, in weights of the base: the model, and a layer's update."""
SHARD_BYTES: Final = 5_000_000_000
"""The largest file that a copy is written in: safetensors makes bytes of a file before it writes
them, beside the model."""


def merged_folder(adapter: Adapter, base: Path) -> Path:
    """Return where the copy lies, whether it is there or not: the same for the same weights.

    Args:
        adapter: the adapter.
        base: the folder of the model that it belongs on.

    Raises:
        OSError: the adapter cannot be read.
    """
    digest = hashlib.sha256()
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        with (adapter.folder / name).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    for file_of_base in sorted(base.glob("*.safetensors")):
        status = file_of_base.stat()
        digest.update(f"{file_of_base.name} {status.st_size} {status.st_mtime_ns}".encode())
    own = adapter.id.replace("/", "--") if adapter.id else adapter.folder.name
    name = (run_of(adapter.folder) or own)[:_LONGEST_NAME]
    return paths.models_dir() / f"{name}-merged-{digest.hexdigest()[:8]}"


def host_memory_refusal(
    adapter: Adapter, weights: int | None, available: int | None = None
) -> tuple[str, str] | None:
    """Return why the host's memory is too small to merge an adapter, and what to do; else None.

    Args:
        adapter: the adapter.
        weights: bytes of its base as it is stored; nothing is said where they are not known.
        available: bytes of the host's memory that are free or can be; asked of the host when None.
    """
    if not weights:
        return None
    there = psutil.virtual_memory().available if available is None else available
    needed = int(weights * _IN_MEMORY) + min(weights, SHARD_BYTES)
    if needed <= there:
        return None
    return (
        f"merging the adapter {adapter.name} into {adapter.base} takes about {text.size(needed)} "
        f"of the host's memory (the whole model, {text.size(weights)}, as it is stored), and "
        f"{text.size(there)} are available",
        "set model.adapter to continue: it trains the same adapter further and merges nothing, on "
        "a base in 4 bits too; or merge it on a machine with more memory",
    )
