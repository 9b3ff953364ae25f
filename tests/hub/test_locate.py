"""Where a model is, with a real HTTP server that answers as the Hub does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tui_ft.hub import locate_model

TOKEN = "hf_secret"


class Hub:
    """A local Hub: answers each path with a status and a body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                hub.asked.append((path, self.headers.get("authorization")))
                status, body = hub.answers.get(path, (404, b"{}"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def _environment(hub: Hub, tmp_path: Path, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), **more}


def _weights(folder: Path, size: int = 1_000) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\0" * size)
    return folder


def test_a_local_folder_and_its_size(tmp_path: Path) -> None:
    found = locate_model(str(_weights(tmp_path / "model")))
    assert (found.where, found.weights_bytes) == ("local", 1_000)


def test_a_folder_without_weights_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    found = locate_model(str(tmp_path))
    assert found.where == "missing"
    assert "no safetensors" in (found.reason or "")


def test_what_the_cache_holds_is_not_asked_for(hub: Hub, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--org--name"
    _weights(repository / "snapshots" / "abc", 2_000)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    found = locate_model("org/name", environ=_environment(hub, tmp_path))
    assert (found.where, found.weights_bytes) == ("cached", 2_000)
    assert not hub.asked


def test_the_hub_is_asked_for_sizes_with_the_users_token(hub: Hub, tmp_path: Path) -> None:
    files = [
        {"rfilename": "a.safetensors", "size": 5_000},
        {"rfilename": "b.safetensors", "size": 6_000},
        {"rfilename": "pytorch_model.bin", "size": 9_999},
    ]
    hub.answers["/api/models/org/name"] = (200, json.dumps({"siblings": files}).encode())
    found = locate_model("org/name", environ=_environment(hub, tmp_path, HF_TOKEN=TOKEN))
    assert (found.where, found.weights_bytes) == ("hub", 11_000)
    assert hub.asked == [("/api/models/org/name", f"Bearer {TOKEN}")]


@pytest.mark.parametrize(
    ("status", "body", "where", "said"),
    [
        (401, b"{}", "gated", "HF_TOKEN"),
        (403, b"{}", "gated", "ask for access"),
        (404, b"{}", "missing", "there is no model org/name"),
        (429, b"{}", "unknown", "answers 429"),
        (500, b"oops", "unknown", "answers 500"),
        (200, b"<html>not json", "unknown", "org/name"),
        (200, b"[]", "unknown", "makes no sense"),
        (200, b'{"siblings": []}', "missing", "no safetensors"),
    ],
)
def test_every_other_answer_is_put_into_words(
    hub: Hub, tmp_path: Path, status: int, body: bytes, where: str, said: str
) -> None:
    hub.answers["/api/models/org/name"] = (status, body)
    found = locate_model("org/name", environ=_environment(hub, tmp_path, HF_TOKEN=TOKEN))
    assert found.where == where
    assert said in (found.reason or "")
    assert TOKEN not in (found.reason or "")


def test_no_connection_is_unknown_and_not_missing(tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    found = locate_model("org/name", environ=environment)
    assert found.where == "unknown"
    assert "does not answer" in (found.reason or "")


def test_offline_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    environment = _environment(hub, tmp_path, HF_HUB_OFFLINE="1")
    found = locate_model("org/name", environ=environment)
    assert found.where == "missing"
    assert "HF_HUB_OFFLINE" in (found.reason or "")
    assert not hub.asked


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "a/b/c", "~/nowhere"])
def test_what_looks_like_a_path_is_never_asked_for(hub: Hub, tmp_path: Path, name: str) -> None:
    assert locate_model(name, environ=_environment(hub, tmp_path)).where == "missing"
    assert not hub.asked
