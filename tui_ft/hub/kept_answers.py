"""Answers of the Hub that are kept for a while: asked again, they cost nothing, and offline too.

One private file a question below `$FTUI_HOME`. A question asked with a token is another one than
the same without: it may show what is private. The token itself is in neither.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tui_ft import paths
from tui_ft.hub import client

FRESH_SECONDS: Final = 600.0
_MOST_KEPT: Final = 200
_SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A body that the Hub once gave.

    Attributes:
        age_s: how long ago, in seconds; 0 for one that was just asked for.
        problem: why it could not be asked for anew; None when it was, or need not be.
    """

    body: bytes | None = None
    age_s: float = 0.0
    problem: str | None = None


def ask_or_remember(
    path: str,
    parameters: Mapping[str, str | Sequence[str]],
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> KeptAnswer:
    """Return what the Hub answers, or answered before. Never raises, and takes 5 seconds at most.

    An answer younger than `FRESH_SECONDS` is not asked for again; an older one stands in when the
    Hub cannot be asked, with the reason.

    Args:
        path: below the endpoint.
        parameters: of the question; what is a list is asked for several times.
        environ: honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and where else tokens are kept.
        transport: how the Hub is reached; httpx's own when None.
    """
    file = _file(path, parameters, environ)
    kept = _read(file)
    if kept is not None and kept.age_s < FRESH_SECONDS:
        return kept
    if client.is_offline(environ):
        problem = "HF_HUB_OFFLINE forbids to ask the Hub: unset it to search"
        return KeptAnswer(problem=problem) if kept is None else _older(kept, problem)
    answer = client.ask(path, parameters, environ, transport)
    if isinstance(answer, client.Silence) or answer.status != httpx.codes.OK:
        problem = client.complaint(answer, environ)
        return KeptAnswer(problem=problem) if kept is None else _older(kept, problem)
    if _is_json(answer.body):
        _write(file, answer.body)
    return KeptAnswer(answer.body)


def _older(kept: KeptAnswer, problem: str) -> KeptAnswer:
    return KeptAnswer(kept.body, kept.age_s, problem)


def _is_json(body: bytes) -> bool:
    """Return whether it can be kept: a login page in between must not come back later."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _folder() -> Path:
    return paths.home() / "hub"


def _file(
    path: str, parameters: Mapping[str, str | Sequence[str]], environ: Mapping[str, str]
) -> Path:
    asked = [client.endpoint(environ), path, sorted(parameters.items())]
    secret = client.token(environ)
    if secret is not None:
        asked.append(hashlib.sha256(secret.encode()).hexdigest()[:16])
    return _folder() / (hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32] + _SUFFIX)


def _read(file: Path) -> KeptAnswer | None:
    try:
        age = max(0.0, time.time() - file.stat().st_mtime)
        return KeptAnswer(file.read_bytes(), age)
    except OSError:
        return None


def _write(file: Path, body: bytes) -> None:
    """Keep an answer; a full disk only costs the memory of it."""
    try:
        paths.make_private_dir(file.parent)
        paths.write_atomically(file, body)
        kept = sorted(file.parent.glob("*" + _SUFFIX), key=lambda old: old.stat().st_mtime)
        for old in kept[:-_MOST_KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return
