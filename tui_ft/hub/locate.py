"""Where a model is: a local folder, the Hugging Face cache, or the Hub; and how large it is.

The answer comes without loading anything: from the file system, or one request to the Hub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx

from tui_ft import text
from tui_ft.hub import client
from tui_ft.hub.cached import repository_of, snapshot_of
from tui_ft.hub.outputs import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    Adapter,
    adapter_named,
    adapter_of,
    folder_of,
    no_output,
    run_called,
)
from tui_ft.hub.places import hub_cache

Where = Literal["local", "cached", "hub", "missing", "gated", "unknown"]

_INDEX: Final = "model.safetensors.index.json"
_WEIGHTS: Final = (".safetensors",)


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Where a model was found.

    Attributes:
        where: `unknown` when the Hub could not be asked.
        path: the folder, when it is on this machine; of an adapter, its base's.
        adapter: the adapter, where one was named; it may still be on the Hub.
        weights_bytes: size of its safetensors files, when known.
        reason: why it is missing, gated or unknown, and what to do.
    """

    where: Where
    path: Path | None = None
    weights_bytes: int | None = None
    reason: str | None = None
    adapter: Adapter | None = None


def locate_model(
    name_or_path: str,
    revision: str | None = None,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> ModelLocation:
    """Return where the model ``name_or_path`` is. Never raises, and takes 5 seconds at most.

    An earlier run's output (`run:NAME`, a run's folder) and an adapter, in a folder or on the Hub,
    are models too; of an adapter, all but `adapter` is said of the base under it.

    Args:
        environ: honours HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN.
        transport: how the Hub is reached; httpx's own when None.
    """
    if lacking := no_output(name_or_path):
        return ModelLocation("missing", reason=lacking)
    adapter = adapter_named(name_or_path, revision, environ)
    if adapter is not None:
        return _under(adapter, environ, transport)
    folder = folder_of(name_or_path)
    if found := _inspect_path(folder):
        return found
    return _fetched(name_or_path, folder, revision, environ, transport)


def _fetched(
    name_or_path: str,
    folder: Path,
    revision: str | None,
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> ModelLocation:
    """Return where a model is that is no folder: in the cache, or on the Hub."""
    if not client.ID.fullmatch(name_or_path):
        return ModelLocation("missing", reason=f"there is no folder {folder}")
    cached = _cached_snapshot(name_or_path, revision, environ)
    if cached is not None:
        return ModelLocation("cached", cached, _weights_in(cached))
    if client.is_offline(environ):
        return ModelLocation(
            "missing",
            reason=f"{name_or_path} is not in the cache {hub_cache(environ)}, and HF_HUB_OFFLINE "
            "forbids to fetch it: unset it, or give the path of a local folder"
            + run_called(name_or_path),
        )
    return _ask_hub(name_or_path, revision, environ, transport)


def _under(
    adapter: Adapter, environ: Mapping[str, str], transport: httpx.BaseTransport | None
) -> ModelLocation:
    """Return where the base of an adapter is, as the place of the whole."""
    if not adapter.base or adapter_named(adapter.base, adapter.revision, environ) is not None:
        return ModelLocation("missing", adapter=adapter, reason=f"{adapter.name} names no base")
    base = locate_model(adapter.base, adapter.revision, environ, transport)
    reason = base.reason and f"{base.reason}: it is the base of the adapter {adapter.name}"
    is_here = base.where not in ("local", "cached") or adapter.is_here
    where: Where = base.where if is_here else "hub"
    return replace(base, where=where, adapter=adapter, reason=reason)


def _inspect_path(path: Path) -> ModelLocation | None:
    """Return what is at ``path``; None if nothing is."""
    try:
        if path.is_dir():
            return _inspect_folder(path)
        if path.is_file():
            return ModelLocation("missing", reason=f"{path} is a file; a model is a folder")
    except OSError as error:
        return ModelLocation("missing", reason=f"{path} cannot be read: {error.strerror}")
    return None


def _inspect_folder(folder: Path) -> ModelLocation:
    if not (folder / "config.json").is_file():
        return ModelLocation(
            "missing",
            folder,
            reason=f"{folder} holds no config.json: it is not a model's folder",
        )
    weights = _weights_in(folder)
    if not weights:
        return ModelLocation(
            "missing",
            folder,
            reason=f"{folder} holds no safetensors weights; convert the model with "
            "`save_pretrained`, which writes them",
        )
    lacking = _missing_shards(folder)
    if lacking:
        return ModelLocation(
            "missing",
            folder,
            reason=f"{folder} lacks {len(lacking)} of the weight files that its {_INDEX} names, "
            f"{lacking[0]} among them: copy or fetch it again",
        )
    return ModelLocation("local", folder, weights)


def _weights_in(folder: Path) -> int:
    try:
        return sum(p.stat().st_size for p in folder.iterdir() if p.suffix in _WEIGHTS)
    except OSError:
        return 0


def _missing_shards(folder: Path) -> list[str]:
    """Return the weight files that the folder's index names and that are not there."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        named = {str(name) for name in index["weight_map"].values()}
        return sorted(name for name in named if not (folder / name).is_file())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # no index: all the weights are in one file


def _cached_snapshot(name: str, revision: str | None, environ: Mapping[str, str]) -> Path | None:
    snapshot = snapshot_of(name, revision, environ)
    if snapshot is None or not (snapshot / "config.json").is_file() or not _weights_in(snapshot):
        return None
    return None if _missing_shards(snapshot) else snapshot


def _ask_hub(
    name: str,
    revision: str | None,
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> ModelLocation:
    path = f"/api/models/{name}" + (f"/revision/{quote(revision, safe='')}" if revision else "")
    answer = client.ask(path, {"blobs": "true"}, environ, transport)
    if isinstance(answer, client.Silence):
        return ModelLocation(
            "unknown",
            reason=f"the Hub ({answer.endpoint}) does not answer ({answer.error}), and {name} is "
            "not in the cache: check the connection, or give the path of a local folder"
            + run_called(name),
        )
    if answer.status != httpx.codes.OK:
        return _refused(name, answer)
    files = _files_of(answer.body)
    if files is None:
        return ModelLocation("unknown", reason=f"the Hub's answer for {name} makes no sense")
    if ADAPTER_CONFIG in files.sizes and not files.has_whole_model:
        return _adapter_on_hub(name, revision, files, environ, transport)
    sizes = [size for file, size in files.sizes.items() if file.endswith(_WEIGHTS)]
    if not sizes:
        reason = f"{name} has no safetensors weights on the Hub; ftui loads no pickles"
        return ModelLocation("missing", reason=reason)
    return ModelLocation("hub", weights_bytes=sum(sizes) or None)


def _refused(name: str, answer: client.Answer) -> ModelLocation:
    match answer.status:
        case 401 | 403:
            return ModelLocation(
                "gated",
                reason=f"{name} does not exist, or needs permission: ask for access on its page on "
                f"the Hub, then log in (`hf auth login`) or set HF_TOKEN{run_called(name)}",
            )
        case 404:
            reason = f"there is no model {name} on the Hub{run_called(name)}"
            return ModelLocation("missing", reason=reason)
        case code:
            return ModelLocation("unknown", reason=f"the Hub answers {code} for {name}")


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a repository on the Hub: bytes by name, and the commit that they are of."""

    sizes: Mapping[str, int]
    commit: str

    @property
    def has_whole_model(self) -> bool:
        """Whether there is more than an adapter."""
        return any(name.startswith("model") and name.endswith(_WEIGHTS) for name in self.sizes)


def _files_of(body: bytes) -> _Files | None:
    try:
        facts: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    files = facts.get("siblings") if isinstance(facts, dict) else None
    if not isinstance(files, list):
        return None
    named = [file for file in files if isinstance(file, dict)]
    sizes = {
        str(file.get("rfilename", "")): size if isinstance(size := file.get("size"), int) else 0
        for file in named
    }
    return _Files(sizes, str(facts.get("sha") or "main"))


def _adapter_on_hub(
    name: str,
    revision: str | None,
    files: _Files,
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> ModelLocation:
    """Return where the base of an adapter is that has still to be fetched."""
    if ADAPTER_WEIGHTS not in files.sizes:
        reason = f"the adapter {name} has no {ADAPTER_WEIGHTS} on the Hub; ftui loads no pickles"
        return ModelLocation("missing", reason=reason)
    asked = ask_for_json(name, revision, ADAPTER_CONFIG, environ, transport)
    if isinstance(asked, str):
        return ModelLocation("unknown", reason=asked)
    folder = repository_of(name, environ) / "snapshots" / files.commit
    adapter = adapter_of(folder, asked, id=name, size=files.sizes[ADAPTER_WEIGHTS])
    if adapter is None:
        return ModelLocation("unknown", reason=f"{ADAPTER_CONFIG} of {name} makes no sense")
    return _under(adapter, environ, transport)


def ask_for_json(
    name: str,
    revision: str | None,
    file: str,
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a JSON file of a repository on the Hub holds; a text says why it is not known.

    Never raises, and takes 5 seconds at most.
    """
    where = f"/{quote(name)}/resolve/{quote(revision or 'main', safe='')}/{file}"
    answer = client.ask(where, {}, environ, transport)
    if isinstance(answer, client.Silence):
        return f"{answer.endpoint} does not answer ({answer.error})"
    if answer.status != httpx.codes.OK:
        return f"the Hub has no {file} of {name} ({answer.status})"
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        return f"{name}/{file} is no JSON: {text.one_line(str(error), 80)}"
