"""Fetch a model from the Hub before anything else, with its progress to be seen."""

from __future__ import annotations

from collections.abc import Callable

from huggingface_hub import snapshot_download

from tui_ft.hub import hub_cache, locate_model
from tui_ft.hub.outputs import adapter_in, folder_of
from tui_ft.hub.watching import watched

_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "*.py")


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
    adapter = adapter_in(folder_of(name))
    if adapter is not None:  # what may be on the Hub is the model that it belongs on
        name, revision = adapter.base, adapter.revision
    location = locate_model(name, revision)
    if location.where in ("local", "cached", "missing"):
        return
    repository = hub_cache() / f"models--{name.replace('/', '--')}" / "blobs"
    with watched(repository, lambda done: progress(done, location.weights_bytes)):
        snapshot_download(name, revision=revision, allow_patterns=list(_PATTERNS))
