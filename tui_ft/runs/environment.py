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
from tui_ft.data.hub_download import fetched
from tui_ft.data.reading import source_bytes
from tui_ft.hardware import Snapshot
from tui_ft.runs.folder import RunFolder
from tui_ft.spec import RunSpec

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


def record_environment(folder: RunFolder, spec: RunSpec, snapshot: Snapshot) -> None:
    """Write `environment.json` at once, and again with the data's hash when that is known.

    Hashing reads the whole file; it goes on behind, and never holds the run up.
    """
    facts = _facts(snapshot, spec)
    _write(folder, facts)

    def add_hashes() -> None:
        mixed_in = spec.data.mix.train if spec.data.mix else None
        files = (spec.data.train, spec.data.eval, mixed_in)
        facts["data"] = [_data_facts(path) for path in files if path]
        _write(folder, facts)

    threading.Thread(target=add_hashes, daemon=True, name="ftui-data-hash").start()


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
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "data_commit": _git_commit(paths.expand(spec.data.train).parent),
        "data": None,
    }


def _data_facts(path: str) -> dict[str, Any]:
    file = paths.expand(path)
    with contextlib.suppress(OSError):
        facts = {"path": str(file), "bytes": source_bytes(file), "sha256": data_digest(file)}
        return facts | _hub_facts(file)
    return {"path": str(file), "bytes": None, "sha256": None}


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
