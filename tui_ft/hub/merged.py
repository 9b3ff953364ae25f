"""Where the merged copy of an adapter and its base lies: one for all runs that begin with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.hub.outputs import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, run_of

_BLOCK: Final = 1 << 20
_LONGEST_NAME: Final = 60


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
    name = (run_of(adapter.folder) or adapter.folder.name)[:_LONGEST_NAME]
    return paths.models_dir() / f"{name}-merged-{digest.hexdigest()[:8]}"
