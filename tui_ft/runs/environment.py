"""What a run ran on, and with: written once to `environment.json`, so that it can be repeated."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from tui_ft import __version__, paths
from tui_ft.data.digest import data_digest
from tui_ft.data.files.hub_download import fetched
from tui_ft.data.files.reading import source_bytes
from tui_ft.hardware import Snapshot
from tui_ft.runs.folder import RunFolder
from tui_ft.spec import RunSpec, SpecError

_LIBRARIES: Final = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "safetensors",
)
_GIT_SECONDS: Final = 5.0


def record_environment(folder: RunFolder, spec: RunSpec, snapshot: Snapshot) -> threading.Thread:
    """Write `environment.json` at once, and again with the data's hash when that is known.

    Hashing reads the whole file; it goes on behind, and never holds the run up.

    Returns:
        What hashes.
    """
    facts = _facts(snapshot, spec)
    with contextlib.suppress(SpecError):
        facts["spec"] = folder.spec().model_dump(mode="json")  # with ids of the Hub, as written
    facts["data"] = _still_true(folder, spec)
    _write(folder, facts)

    def add_hashes() -> None:
        facts["data"] = [data_facts(use, path) for use, path in data_files(spec).items()]
        _write(folder, facts)

    behind = threading.Thread(target=add_hashes, daemon=True, name="ftui-data-hash")
    behind.start()
    return behind


def _facts(snapshot: Snapshot, spec: RunSpec) -> dict[str, Any]:
    return {
        "ftui": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": snapshot.host.memory_total_bytes,
        "driver": snapshot.driver_version,
        "gpus": [
            {"index": g.index, "name": g.name, "uuid": g.uuid, "memory_bytes": g.memory_total_bytes}
            for g in snapshot.gpus
        ],
        "gpu_status": snapshot.gpu_status,
        "libraries": versions(),
        "data_commit": _git_commit(paths.expand(spec.data.train).parent),
        "data": None,
    }


def versions() -> dict[str, str | None]:
    """Return the versions of the libraries that train; None for one that is not installed."""
    return {name: _version(name) for name in _LIBRARIES}


def data_files(spec: RunSpec) -> dict[str, str]:
    """Return every file or folder of rows that a run reads, by what they are for."""
    mixed_in = spec.data.mix.train if spec.data.mix else None
    files = {"train": spec.data.train, "eval": spec.data.eval, "mix.train": mixed_in}
    return {use: path for use, path in files.items() if path}


def _still_true(folder: RunFolder, spec: RunSpec) -> list[dict[str, Any]] | None:
    """Return what an earlier attempt found of files that are as they were; None for nothing."""
    try:
        before = json.loads(folder.environment_file.read_text())["data"]
        files = data_files(spec)
        kept = [one for one in before if one["stamp"] == stamp_of(files[one["use"]])]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept or None


def data_facts(use: str, path: str) -> dict[str, Any]:
    """Return what tells a file's rows from others. Reads it whole."""
    file = paths.expand(path)
    with contextlib.suppress(OSError):
        stamp = stamp_of(path)  # before it is read: a later change is seen
        facts = {"path": str(file), "bytes": source_bytes(file), "sha256": data_digest(file)}
        return {"use": use} | facts | {"stamp": stamp} | _hub_facts(file)
    return {"use": use, "path": str(file), "bytes": None, "sha256": None}


def stamp_of(path: str) -> list[int]:
    """Return the newest time (ns) of a file or of a folder's files, and their bytes together.

    Empty for a file that cannot be looked at.
    """
    file = paths.expand(path)
    try:
        files = [entry for entry in file.rglob("*") if entry.is_file()] if file.is_dir() else [file]
        stats = [entry.stat() for entry in files]
    except OSError:
        return []
    return [max((s.st_mtime_ns for s in stats), default=0), sum(s.st_size for s in stats)]


def _hub_facts(file: Path) -> dict[str, Any]:
    """Return what a file was fetched from: enough to fetch the same rows again."""
    done = fetched(file)
    if done is None:
        return {}
    origin = {"id": done.wanted.id, "config": done.config, "split": done.split}
    return {"hub": {**origin, "revision": done.commit}}


def _git_commit(folder: Path) -> str | None:
    """Return the commit that the data's folder stands at, when it is kept in git."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
        return answer.stdout.strip() or None
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _write(folder: RunFolder, facts: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        paths.write_atomically(folder.environment_file, json.dumps(facts, indent=2))
