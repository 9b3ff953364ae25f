"""A model is fetched with the real client, from a local server that answers as the Hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tui_ft.hub import locate_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import sys
from transformers import AutoTokenizer
from tui_ft.train.fetch import fetch_model
fetch_model("org/tiny-lora", None, lambda done, total: None)
print(len(AutoTokenizer.from_pretrained("org/tiny")))
"""


@pytest.fixture
def hub(tiny_llama: Path) -> Iterator[str]:
    """Serve the tiny model as `org/tiny`, and an adapter of it; give the address."""
    model = {path.name: path.read_bytes() for path in tiny_llama.iterdir() if path.is_file()}
    model["pytorch_model.bin"] = b"a pickle that nobody should ask for"
    config = {"peft_type": "LORA", "base_model_name_or_path": "org/tiny", "r": 8}
    adapter = {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": b"weights",
        "training_args.bin": b"another pickle",
    }
    repositories = {"org/tiny": model, "org/tiny-lora": adapter}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            parts = path.removeprefix("/api/models").split("/")
            name = f"{parts[1]}/{parts[2]}"
            files = repositories[name]
            if path.startswith(f"/api/models/{name}/tree/"):
                tree = [
                    {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                    for n, b in files.items()
                ]
                self._send(200, json.dumps(tree).encode(), with_body, {})
                return
            if path.startswith("/api/models/"):
                siblings = [{"rfilename": n, "size": len(b)} for n, b in files.items()]
                facts = {"id": name, "sha": COMMIT, "siblings": siblings}
                self._send(200, json.dumps(facts).encode(), with_body, {})
                return
            body = files.get(path.rpartition("/")[2])
            if body is None or "pytorch_model" in path:
                self._send(404, b"", with_body, {"X-Error-Code": "EntryNotFound"})
                return
            tag = hashlib.sha256(body).hexdigest()
            self._send(200, body, with_body, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

        def _send(self, status: int, body: bytes, with_body: bool, more: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_adapter_on_the_hub_and_its_base_are_fetched_once_and_without_pickles(
    hub: str, tmp_path: Path
) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"},
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    for name in ("org/tiny", "org/tiny-lora"):
        assert locate_model(name, environ=environment).where == "hub"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 256
    found = locate_model("org/tiny", environ={**environment, "HF_HUB_OFFLINE": "1"})
    assert found.where == "cached"
    assert found.path is not None
    names = {path.name for path in found.path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "pytorch_model.bin" not in names
    named = locate_model("org/tiny-lora", environ={**environment, "HF_HUB_OFFLINE": "1"})
    assert (named.where, named.path) == ("cached", found.path)
    assert named.adapter is not None and named.adapter.is_here
    assert not (named.adapter.folder / "training_args.bin").exists()
