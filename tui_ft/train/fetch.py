"""Fetch a model from the Hub before anything else, with its progress to be seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import snapshot_download

from tui_ft.hub import hub_cache, locate_model

_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "*.py")
_LOOK_SECONDS = 1.0


def fetch_model(
    name: str, revision: str | None, progress: Callable[[int, int | None], None]
) -> None:
    """Bring the model into the cache if it is an id on the Hub that is not there yet.

    Args:
        name: the model's folder or id.
        revision: branch, tag or commit.
        progress: called every second with bytes so far and bytes in all, when known.

    Raises:
        OSError: it cannot be fetched; huggingface_hub's own reasons.
    """
    location = locate_model(name, revision)
    if location.where in ("local", "cached", "missing"):
        return
    repository = hub_cache() / f"models--{name.replace('/', '--')}" / "blobs"
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            progress(_bytes_in(repository), location.weights_bytes)

    watcher = threading.Thread(target=watch, daemon=True, name="ftui-download")
    watcher.start()
    try:
        snapshot_download(name, revision=revision, allow_patterns=list(_PATTERNS))
    finally:
        done.set()
        watcher.join()


def _bytes_in(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0
