"""Servers that answer as the Hub does, and one that never does."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tui_ft.hub import client

TOKEN = "hf_secret"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(client, "SECONDS", 120.0)  # a server here answers when the machine lets it
    return tmp_path / "home"


class Hub:
    """A local Hub: answers each path with a status and a body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.queries: list[str] = []
        self.dribbling: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                hub.asked.append((path, self.headers.get("authorization")))
                hub.queries.append(query)
                status, body = hub.answers.get(path, (404, b"{}"))
                self.send_response(status)
                for header in hub.headers.get(path, {}).items():
                    self.send_header(*header)
                self.end_headers()
                pieces = [body] if path not in hub.dribbling else [bytes([b]) for b in body]
                with contextlib.suppress(OSError):  # whoever asked has given up
                    for piece in pieces:
                        self.wfile.write(piece)
                        self.wfile.flush()
                        time.sleep(0.02 if piece is not body else 0)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, value: Any) -> None:
        """Answer ``path`` with ``value`` as JSON."""
        self.answers[path] = (200, json.dumps(value).encode())

    def environment(self, tmp_path: Path, **more: str) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(tmp_path / "hf"), **more}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def other_hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


class Mute:
    """A server that takes a connection and never says a word."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[Mute]:
    mute = Mute()
    yield mute
    mute.socket.close()
