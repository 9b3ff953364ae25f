"""A local server that answers as much of the Hub's API as `datasets` asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """A data set: its files, what the Hub read in its card, and whether strangers may read it."""

    files: dict[str, bytes]
    card: dict[str, object] = field(default_factory=dict)
    commit: str = COMMIT
    gated: bool = False
    cut_off: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)


class DataHub:
    """Serves repositories by their ids; `url` is what HF_ENDPOINT has to be."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.tokens: set[str | None] = set()
        self.asked: list[str] = []
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def in_the_hubs_place(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    """Serve as the Hub for this process and those it starts, with an empty cache."""
    hub = DataHub()
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(cache))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    try:
        yield hub
    finally:
        hub.close()


class _Handler(BaseHTTPRequestHandler):
    hub: DataHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer()

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0]).strip("/")
        self.hub.asked.append(f"{self.command} {path}")
        path = path.replace("refs/convert/parquet", "main")
        self.hub.tokens.add(self.headers.get("authorization"))
        is_api = path.startswith("api/datasets/")
        path = path.removeprefix("api/").removeprefix("datasets/")
        name = next((n for n in self.hub.repositories if path == n or path.startswith(f"{n}/")), "")
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._refuse(401, "RepoNotFound")
            return
        rest = path.removeprefix(name).strip("/")
        if is_api:
            self._facts(name, repository, rest)
        elif repository.gated:
            self._refuse(401, "GatedRepo")
        else:
            self._file(repository, rest)

    def _facts(self, name: str, repository: Repository, rest: str) -> None:
        kind, _, more = rest.partition("/")
        named = kind in ("revision", "tree", "paths-info")
        revision = more.split("/")[0] if named else "main"
        if revision not in ("main", repository.commit):
            self._refuse(404, "RevisionNotFound")
            return
        if kind in ("tree", "paths-info"):
            self._json(_tree(repository, "/".join(more.split("/")[1:])))
            return
        if kind == "parquet":
            self._refuse(404, "EntryNotFound")
            return
        siblings = [{"rfilename": it, "size": len(body)} for it, body in repository.files.items()]
        facts: dict[str, object] = {"id": name, "sha": repository.commit, "tags": []}
        facts["cardData"] = repository.card
        facts["gated"] = "manual" if repository.gated else False
        self._json({**facts, "siblings": siblings})

    def _file(self, repository: Repository, rest: str) -> None:
        _, revision, file = [*rest.split("/", 2), "", ""][:3]
        if revision not in ("main", repository.commit):
            self._refuse(404, "RevisionNotFound")
            return
        body = repository.files.get(file)
        if body is None:
            self._refuse(404, "EntryNotFound")
            return
        tag = hashlib.sha256(body).hexdigest()
        more = {"ETag": f'"{tag}"', "X-Repo-Commit": repository.commit}
        sent = body[: len(body) // 2] if file in repository.cut_off else body
        self._send(200, sent, len(body), more, slow=file in repository.slow)

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._send(200, body, len(body), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", 0, {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self, status: int, body: bytes, length: int, more: dict[str, str], *, slow: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):  # whoever asked may be gone
            step = 100 if slow else max(1, len(body))
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                self.wfile.flush()
                time.sleep(0.1 if slow else 0)

    def log_message(self, *_: object) -> None: ...


def _tree(repository: Repository, folder: str) -> list[dict[str, object]]:
    """Return what is in a folder: files, and folders of their own."""
    inside = folder and f"{folder}/"
    names = {it.removeprefix(inside) for it in repository.files if it.startswith(inside)}
    files = [f"{inside}{name}" for name in sorted(names) if "/" not in name]
    folders = {f"{inside}{name.split('/')[0]}" for name in names if "/" in name}
    found: list[dict[str, object]] = [
        {"type": "directory", "path": it, "oid": "0" * 40} for it in sorted(folders)
    ]
    for file in files:
        body = repository.files[file]
        oid = hashlib.sha1(body).hexdigest()
        found.append({"type": "file", "path": file, "size": len(body), "oid": oid})
    return found
