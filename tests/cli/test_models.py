"""`ftui models`, with a server that answers as the Hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.hub.conftest import Hub
from tests.hub.test_models_search import ENTRY
from tests.memory.models import TINY
from tui_ft import paths
from tui_ft.cli import main


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture(autouse=True)
def _environment(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    for name, value in hub.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def _models(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


def _model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(TINY))
    (folder / "model.safetensors").write_bytes(b"x" * 2_000)
    return folder


def test_own_models_come_first(hub: Hub) -> None:
    hub.answer("/api/models", [ENTRY, {"id": "bare-llama"}])
    _model(paths.runs_dir() / "llama-run" / "model")
    (paths.runs_dir() / "llama-run" / "run.yaml").write_text("")
    _model(paths.models_dir() / "tiny-llama")
    _model(Path("my-llama"))
    _model(Path("other"))
    done = _models("Llama", "--limit", "5")
    assert done.exit_code == 0, done.output
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["model", "parameters", "size", "licence", "downloads"]
    assert [row.split("  ")[-1].strip() for row in rows] == [
        "made by llama-run",
        "prepared by ftui",
        "a folder here",
        "gated, chat template",
        "no safetensors",
    ]
    assert rows[2].split()[:5] == ["my-llama", "7.10", "M", "2.00", "kB"]
    assert rows[3].split()[:5] == ["org/Llama-8B", "8.00", "G", "16.0", "GB"]
    assert "llama3.1" in rows[3]
    assert "12.0 k" in rows[3]


def test_as_json(hub: Hub) -> None:
    hub.answer("/api/models", [ENTRY])
    _model(Path("my-llama"))
    found = json.loads(_models("llama", "--json").stdout)
    assert [one["origin"] for one in found["own"]] == ["folder"]
    assert found["hub"][0]["parameters"] == 8_000_001_000
    assert (found["known"], found["problem"]) == ([], None)


def test_only_here(hub: Hub) -> None:
    _model(Path("my-llama"))
    assert "my-llama" in _models("--local", "llama").stdout
    assert "my-llama" in _models().stdout
    assert "a folder here" in _models().stdout
    assert not hub.asked


def test_a_hub_that_is_down_leaves_what_ftui_knows(hub: Hub) -> None:
    hub.answers["/api/models"] = (500, b"")
    done = _models("qwen2.5", "7b", "instruct")
    assert done.exit_code == 0
    assert "is in trouble" in done.stderr
    assert "models that ftui knows itself" in done.stderr
    rows = done.stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [
        "Qwen/Qwen2.5-7B-Instruct",
        "Qwen/Qwen2.5-Coder-7B-Instruct",
    ]
    assert rows[0].split()[1:3] == ["7.62", "G"]
    assert "apache-2.0" in rows[0]
    assert "chat template" in rows[0]


def test_an_earlier_answer_is_called_one(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.answer("/api/models", [ENTRY])
    assert _models("llama").exit_code == 0
    monkeypatch.setattr("tui_ft.hub.kept_answers.FRESH_SECONDS", 0.0)
    hub.answers["/api/models"] = (429, b"")
    done = _models("llama")
    assert "this is its answer of" in done.stderr
    assert "org/Llama-8B" in done.stdout


def test_nothing_found(hub: Hub) -> None:
    hub.answer("/api/models", [])
    done = _models("zzz")
    assert (done.exit_code, done.stdout) == (0, "no model called so: zzz\n")
    hub.answers["/api/models"] = (401, b"")
    refused = _models("zzzz")
    assert refused.exit_code == 1
    assert "does not accept your token" in refused.stderr
    assert "name some words to search" in _models().stdout
