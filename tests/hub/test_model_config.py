"""A model's configuration is had without its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.conftest import TOKEN, Hub
from tui_ft.hub.model_config import model_config


def test_a_folder_needs_no_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    found = model_config(str(tmp_path))
    assert (found.values, found.where) == ({"model_type": "llama"}, "folder")


def test_one_file_is_asked_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    files = [{"rfilename": "config.json"}, {"rfilename": "model.safetensors", "size": 10}]
    hub.answer("/api/models/org/name", {"id": "org/name", "siblings": files})
    hub.answer("/org/name/resolve/main/config.json", {"model_type": "qwen2"})
    found = model_config("org/name", environ=hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert (found.values, found.where) == ({"model_type": "qwen2"}, "hub"), found.problem
    assert "/org/name/resolve/main/config.json" in [path for path, _ in hub.asked]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_hub_that_has_none_is_a_sentence(hub: Hub, tmp_path: Path, status: int) -> None:
    files = [{"rfilename": "model.safetensors", "size": 10}]
    hub.answer("/api/models/org/name", {"id": "org/name", "siblings": files})
    hub.answers["/org/name/resolve/main/config.json"] = (status, json.dumps({}).encode())
    found = model_config("org/name", environ=hub.environment(tmp_path))
    assert found.values is None
    assert "org/name" in str(found.problem)


def test_offline_and_not_here(tmp_path: Path) -> None:
    found = model_config("org/name", environ={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    assert "HF_HUB_OFFLINE" in str(found.problem)
