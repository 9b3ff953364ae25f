"""A model is known from where it is; and from the catalogue where nothing can be had."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.conftest import Hub
from tests.memory.models import TINY
from tui_ft.memory.model_facts import model_facts
from tui_ft.models import ArchitectureError

KNOWN = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


def _listed(hub: Hub, name: str) -> None:
    files = [{"rfilename": "model.safetensors", "size": 10}]
    hub.answer(f"/api/models/{name}", {"id": name, "siblings": files})


def test_a_folder_says_itself_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    found = model_facts(str(tmp_path))
    assert (found.where, found.note, found.entry) == ("folder", None, None)
    assert found.architecture().parameters == 7_096_576


def test_a_folder_called_as_a_model_is_not_that_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)
    found = model_facts("gpt2", environ={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    assert found.config is None
    assert "holds no config.json" in str(found.problem)


def test_the_hub_comes_before_the_catalogue(hub: Hub, tmp_path: Path) -> None:
    _listed(hub, KNOWN)
    hub.answer(f"/{KNOWN}/resolve/main/config.json", {**TINY, "model_type": "llama"})
    found = model_facts(KNOWN, environ=hub.environment(tmp_path))
    assert (found.where, found.note) == ("hub", None)
    assert found.architecture().family == "Llama"
    assert found.entry is not None
    assert found.entry.licence == "apache-2.0"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_the_catalogue_answers_when_the_hub_does_not(status: int, hub: Hub, tmp_path: Path) -> None:
    hub.answers[f"/api/models/{KNOWN}"] = (status, b"{}")
    found = model_facts(KNOWN, environ=hub.environment(tmp_path))
    assert found.where == "catalogue"
    assert found.architecture().parameters == 7_615_616_512
    assert "ftui's own catalogue" in str(found.note)
    assert found.problem is None


def test_a_gated_file_of_a_listed_model_is_in_the_catalogue(hub: Hub, tmp_path: Path) -> None:
    name = "meta-llama/Llama-3.2-3B"
    _listed(hub, name)
    hub.answers[f"/{name}/resolve/main/config.json"] = (401, b"{}")
    found = model_facts(name, environ=hub.environment(tmp_path))
    assert (found.where, found.architecture().parameters) == ("catalogue", 3_212_749_824)


def test_no_connection_and_offline(tmp_path: Path) -> None:
    for environment in ({"HF_ENDPOINT": "http://127.0.0.1:1"}, {"HF_HUB_OFFLINE": "1"}):
        found = model_facts(KNOWN, environ={**environment, "HF_HOME": str(tmp_path)})
        assert found.where == "catalogue"


def test_another_revision_is_told(tmp_path: Path) -> None:
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    found = model_facts(KNOWN, "v2", environ=environment)
    assert "of its main version, and not of v2" in str(found.note)


def test_unknown_and_not_to_be_had(tmp_path: Path) -> None:
    found = model_facts("org/name", environ={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    assert (found.config, found.note, found.where) == (None, None, None)
    with pytest.raises(ArchitectureError, match="HF_HUB_OFFLINE"):
        found.architecture()
