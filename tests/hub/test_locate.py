"""Where a model is, with a real HTTP server that answers as the Hub does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.conftest import TOKEN, Hub, Mute
from tui_ft.hub import client, locate_model

_environment = Hub.environment


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


def test_a_hub_that_never_answers_is_given_up(
    mute: Mute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    found = locate_model("org/name", environ={"HF_ENDPOINT": mute.url, "HF_HOME": str(tmp_path)})
    assert found.where == "unknown"
    assert "does not answer (ReadTimeout)" in (found.reason or "")


def test_a_hub_that_sends_in_circles_is_given_up(hub: Hub, tmp_path: Path) -> None:
    path = "/api/models/org/name"
    hub.answers[path] = (302, b"")
    hub.headers[path] = {"location": path}
    found = locate_model("org/name", environ=_environment(hub, tmp_path))
    assert found.where == "unknown"
    assert "TooManyRedirects" in (found.reason or "")


def test_a_renamed_model_is_followed(hub: Hub, tmp_path: Path) -> None:
    hub.answers["/api/models/old/name"] = (307, b"")
    hub.headers["/api/models/old/name"] = {"location": "/api/models/new/name"}
    files = json.dumps({"siblings": [{"rfilename": "a.safetensors", "size": 7}]}).encode()
    hub.answers["/api/models/new/name"] = (200, files)
    found = locate_model("old/name", environ=_environment(hub, tmp_path))
    assert (found.where, found.weights_bytes) == ("hub", 7)


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://host", "http://[", ""])
def test_an_endpoint_that_is_none_is_put_into_words(endpoint: str, tmp_path: Path) -> None:
    found = locate_model("org/name", environ={"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)})
    assert found.where == "unknown"
    assert "does not answer" in (found.reason or "")


def test_the_token_is_read_from_its_file_too(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(f"{TOKEN}\n")
    locate_model("org/name", environ=_environment(hub, tmp_path))
    (tmp_path / "other").write_text("hf_other")
    locate_model(
        "org/name", environ=_environment(hub, tmp_path, HF_TOKEN_PATH=str(tmp_path / "other"))
    )
    assert [token for _, token in hub.asked] == [f"Bearer {TOKEN}", "Bearer hf_other"]


def test_a_revision_is_asked_for_and_found_in_the_cache(hub: Hub, tmp_path: Path) -> None:
    repository = tmp_path / "cache" / "models--org--name"
    _weights(repository / "snapshots" / "abc", 2_000)
    _weights(repository / "snapshots" / "def", 3_000)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (repository / "refs" / "v2").write_text("def\n")
    environment = _environment(hub, tmp_path, HF_HUB_CACHE=str(tmp_path / "cache"))
    for revision, size in ((None, 2_000), ("v2", 3_000), ("abc", 2_000)):
        found = locate_model("org/name", revision, environ=environment)
        assert (found.where, found.weights_bytes) == ("cached", size)
    assert not hub.asked
    assert locate_model("org/name", "v3", environ=environment).where == "missing"
    assert [path for path, _ in hub.asked] == ["/api/models/org/name/revision/v3"]


def test_a_cache_without_weights_is_not_enough(hub: Hub, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--org--name"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert locate_model("org/name", environ=_environment(hub, tmp_path)).where == "missing"
    assert hub.asked


@pytest.mark.parametrize("value", ["1", "on", "TRUE", "Yes"])
def test_offline_as_huggingface_hub_reads_it(hub: Hub, tmp_path: Path, value: str) -> None:
    locate_model("org/name", environ=_environment(hub, tmp_path, HF_HUB_OFFLINE=value))
    assert not hub.asked


@pytest.mark.parametrize("value", ["0", "", "false"])
def test_not_offline(hub: Hub, tmp_path: Path, value: str) -> None:
    locate_model("org/name", environ=_environment(hub, tmp_path, HF_HUB_OFFLINE=value))
    assert hub.asked


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    found = locate_model(str(tmp_path / "model.safetensors"))
    assert found.where == "missing"
    assert "is a file; a model is a folder" in (found.reason or "")


def test_a_hub_that_dribbles_is_given_up(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    hub.answers["/api/models/org/name"] = (200, b'{"siblings": []}' + b" " * 1_000)
    hub.dribbling.add("/api/models/org/name")
    found = locate_model("org/name", environ=_environment(hub, tmp_path))
    assert found.where == "unknown"
    assert "ReadTimeout" in (found.reason or "")


def test_an_answer_without_end_is_not_read_to_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BIGGEST_ANSWER", 10)
    hub.answers["/api/models/org/name"] = (200, b" " * 1_000)
    assert locate_model("org/name", environ=_environment(hub, tmp_path)).where == "unknown"


@pytest.mark.parametrize("size", ['"big"', "null", "[]", "{}"])
def test_a_size_that_is_no_number_is_not_known(hub: Hub, tmp_path: Path, size: str) -> None:
    body = f'{{"siblings": [{{"rfilename": "a.safetensors", "size": {size}}}]}}'
    hub.answers["/api/models/org/name"] = (200, body.encode())
    found = locate_model("org/name", environ=_environment(hub, tmp_path))
    assert (found.where, found.weights_bytes) == ("hub", None)


def test_a_revision_may_hold_slashes(hub: Hub, tmp_path: Path) -> None:
    locate_model("org/name", "refs/pr/1", environ=_environment(hub, tmp_path))
    assert [path for path, _ in hub.asked] == ["/api/models/org/name/revision/refs%2Fpr%2F1"]


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f" {TOKEN}\r\n"])
def test_a_token_with_space_around_it(hub: Hub, tmp_path: Path, token: str) -> None:
    locate_model("org/name", environ=_environment(hub, tmp_path, HF_TOKEN=token))
    assert [token for _, token in hub.asked] == [f"Bearer {TOKEN}"]


def test_offline_by_its_older_name(hub: Hub, tmp_path: Path) -> None:
    locate_model("org/name", environ=_environment(hub, tmp_path, TRANSFORMERS_OFFLINE="1"))
    assert not hub.asked


def test_weights_of_which_some_are_missing(hub: Hub, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--org--name"
    snapshot = _weights(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    shards = {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = snapshot / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    assert locate_model("org/name", environ=_environment(hub, tmp_path)).where == "missing"
    assert hub.asked
    found = locate_model(str(snapshot))
    assert found.where == "missing"
    assert "lacks 1 of the weight files" in (found.reason or "")
    index.write_text("broken")
    assert locate_model(str(snapshot)).where == "local"


def test_nothing_in_the_file_system_makes_it_raise(hub: Hub, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / "hub" / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_bytes(b"\xff\xfe")
    (tmp_path / "hf" / "token").write_bytes(b"\xff\xfe")
    environment = _environment(hub, tmp_path)
    assert locate_model("org/name", environ=environment).where == "missing"
    assert locate_model("a" * 5_000, environ=environment).where == "missing"
    assert locate_model("a\0b", environ=environment).where == "missing"
