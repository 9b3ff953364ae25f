"""Where a model is: a local folder, the Hugging Face cache, or the Hub; and how large it is.

The answer comes without loading anything: from the file system, or one request to the Hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

from tui_ft import paths

Where = Literal["local", "cached", "hub", "missing", "gated", "unknown"]

_TIMEOUT: Final = httpx.Timeout(5.0, connect=3.0)
_WEIGHTS: Final = (".safetensors",)
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)?")
_TRUE: Final = frozenset(("1", "on", "yes", "true"))


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Where a model was found.

    Attributes:
        where: `unknown` when the Hub could not be asked.
        path: the folder, when it is on this machine.
        weights_bytes: size of its safetensors files, when known.
        reason: why it is missing, gated or unknown, and what to do.
    """

    where: Where
    path: Path | None = None
    weights_bytes: int | None = None
    reason: str | None = None


def locate_model(
    name_or_path: str,
    revision: str | None = None,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> ModelLocation:
    """Return where the model ``name_or_path`` is. Never raises, and takes 5 seconds at most.

    Args:
        environ: honours HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN.
        transport: how the Hub is reached; httpx's own when None.
    """
    folder = paths.expand(name_or_path)
    if folder.is_dir():
        return _inspect_folder(folder)
    if folder.is_file():
        return ModelLocation("missing", reason=f"{folder} is a file; a model is a folder")
    if not _is_hub_id(name_or_path):
        return ModelLocation("missing", reason=f"there is no folder {folder}")
    cached = _cached_snapshot(name_or_path, revision, environ)
    if cached is not None:
        return ModelLocation("cached", cached, _weights_in(cached))
    if environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        return ModelLocation(
            "missing",
            reason=f"{name_or_path} is not in the cache {hub_cache(environ)}, and HF_HUB_OFFLINE "
            "forbids to fetch it: unset it, or give the path of a local folder",
        )
    return _ask_hub(name_or_path, revision, environ, transport)


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which huggingface_hub keeps what it fetched."""
    if "HF_HUB_CACHE" in environ:
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    return hf_home(environ) / "hub"


def hf_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return huggingface_hub's own folder."""
    default = Path(environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(environ.get("HF_HOME", default)).expanduser()


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
    return ModelLocation("local", folder, weights)


def _weights_in(folder: Path) -> int:
    try:
        return sum(p.stat().st_size for p in folder.iterdir() if p.suffix in _WEIGHTS)
    except OSError:
        return 0


def _is_hub_id(name: str) -> bool:
    return _HUB_ID.fullmatch(name) is not None


def _cached_snapshot(name: str, revision: str | None, environ: Mapping[str, str]) -> Path | None:
    repository = hub_cache(environ) / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    try:
        commit = reference.read_text().strip() if reference.is_file() else (revision or "")
    except OSError:
        return None
    snapshot = repository / "snapshots" / commit
    whole = commit and (snapshot / "config.json").is_file() and _weights_in(snapshot)
    return snapshot if whole else None


def _token(environ: Mapping[str, str]) -> str | None:
    """Return the Hub token from the usual places. It is used for the request and nothing else."""
    if environ.get("HF_TOKEN"):
        return environ["HF_TOKEN"]
    file = Path(environ.get("HF_TOKEN_PATH", hf_home(environ) / "token"))
    try:
        return file.read_text().strip() or None
    except OSError:
        return None


def _ask_hub(
    name: str,
    revision: str | None,
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> ModelLocation:
    endpoint = environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/api/models/{name}" + (f"/revision/{revision}" if revision else "")
    token = _token(environ)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True, transport=transport) as client:
            answer = client.get(url, params={"blobs": "true"}, headers=headers)
            return _read_answer(name, answer)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return ModelLocation(
            "unknown",
            reason=f"the Hub ({endpoint}) does not answer ({type(error).__name__}), and {name} is "
            "not in the cache: check the connection, or give the path of a local folder",
        )


def _read_answer(name: str, answer: httpx.Response) -> ModelLocation:
    match answer.status_code:
        case 200:
            return _found_on_hub(name, answer)
        case 401 | 403:
            return ModelLocation(
                "gated",
                reason=f"{name} does not exist, or needs permission: ask for access on its page on "
                "the Hub, then log in (`hf auth login`) or set HF_TOKEN",
            )
        case 404:
            return ModelLocation("missing", reason=f"there is no model {name} on the Hub")
        case code:
            return ModelLocation("unknown", reason=f"the Hub answers {code} for {name}")


def _found_on_hub(name: str, answer: httpx.Response) -> ModelLocation:
    facts = answer.json()
    files = facts.get("siblings") if isinstance(facts, dict) else None
    if not isinstance(files, list):
        return ModelLocation("unknown", reason=f"the Hub's answer for {name} makes no sense")
    sizes = [
        file.get("size") or 0
        for file in files
        if isinstance(file, dict) and str(file.get("rfilename", "")).endswith(_WEIGHTS)
    ]
    if not sizes:
        reason = f"{name} has no safetensors weights on the Hub; ftui loads no pickles"
        return ModelLocation("missing", reason=reason)
    return ModelLocation("hub", weights_bytes=sum(sizes) or None)
