"""Fetch a model from the Hub before anything else, with its progress to be seen."""

from __future__ import annotations

from collections.abc import Callable

from huggingface_hub import snapshot_download

from tui_ft.hub import locate_model
from tui_ft.hub.cached import repository_of
from tui_ft.hub.watching import watched

_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "*.py")


def fetch_model(
    name: str, revision: str | None, progress: Callable[[int, int | None], None]
) -> None:
    """Bring the model into the cache if it is an id on the Hub that is not there yet.

    Of an adapter, what is fetched is the adapter and the model that it belongs on.

    Args:
        name: the model's folder or id.
        revision: branch, tag or commit.
        progress: called every second with bytes so far and bytes in all, when known.

    Raises:
        OSError: it cannot be fetched; huggingface_hub's own reasons.
    """
    location = locate_model(name, revision)
    adapter = location.adapter
    if adapter is not None:
        if adapter.id is not None and not adapter.is_here:
            _fetch(adapter.id, revision, adapter.size, progress)
        name, revision = adapter.base, adapter.revision
        location = locate_model(name, revision)
    if location.where not in ("local", "cached", "missing"):
        _fetch(name, revision, location.weights_bytes, progress)


def _fetch(
    name: str, revision: str | None, size: int | None, progress: Callable[[int, int | None], None]
) -> None:
    with watched(repository_of(name) / "blobs", lambda done: progress(done, size)):
        snapshot_download(name, revision=revision, allow_patterns=list(_PATTERNS))
