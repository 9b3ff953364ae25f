"""What a data set is made of, by a server that answers as the Hub does, and by the caches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub.conftest import TOKEN, Hub
from tui_ft.hub.dataset_configs import HubConfig, HubSplit
from tui_ft.hub.dataset_info import (
    PARQUET_BRANCH,
    dataset_commit,
    dataset_info,
    is_dataset_id,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = "/api/datasets/org/name"


def _facts(files: dict[str, int | None], **more: Any) -> dict[str, Any]:
    siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
    return {"id": "org/name", "sha": COMMIT, "siblings": siblings, **more}


def _prepare(tmp_path: Path, commit: str = COMMIT, name: str = "org___name") -> Path:
    folder = tmp_path / "hf" / "datasets" / name / "default" / "0.0.0" / commit
    folder.mkdir(parents=True)
    info = {"config_name": "default", "splits": {"train": {"num_examples": 3}}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def _refer(tmp_path: Path, revision: str, commit: str) -> None:
    refs = tmp_path / "hf" / "hub" / "datasets--org--name" / "refs"
    refs.mkdir(parents=True, exist_ok=True)
    (refs / revision).write_text(commit)


def test_splits_by_the_names_of_the_files(hub: Hub, tmp_path: Path) -> None:
    files = {"README.md": 9, "data/train-0.parquet": 10, "data/train-1.parquet": 20}
    hub.answer(API, _facts({**files, "data/test-0.parquet": 5}, tags=["license:mit"]))
    found = dataset_info("org/name", environ=hub.environment(tmp_path))
    assert (found.where, found.commit, found.licence) == ("hub", COMMIT, "mit")
    assert found.size_bytes == 35
    train = HubSplit("train", ("data/train-0.parquet", "data/train-1.parquet"), 30)
    test = HubSplit("test", ("data/test-0.parquet",), 5)
    assert found.configs == (HubConfig("default", (train, test)),)


def test_configs_as_the_card_names_them(hub: Hub, tmp_path: Path) -> None:
    card = {
        "configs": [
            {"config_name": "en", "data_files": [{"split": "aa", "path": "en/*.jsonl"}]},
            {"config_name": "fr", "data_files": "fr.jsonl"},
        ],
        "dataset_info": [{"config_name": "en", "splits": [{"name": "aa", "num_examples": 7}]}],
    }
    hub.answer(API, _facts({"en/1.jsonl": 4, "fr.jsonl": None}, cardData=card))
    found = dataset_info("org/name", environ=hub.environment(tmp_path))
    assert found.configs == (
        HubConfig("en", (HubSplit("aa", ("en/1.jsonl",), 4, 7),)),
        HubConfig("fr", (HubSplit("train", ("fr.jsonl",), None, None),)),
    )
    assert found.size_bytes is None


def test_a_script_and_the_hubs_conversion_of_it(hub: Hub, tmp_path: Path) -> None:
    hub.answer(API, _facts({"name.py": 100}))
    url = "https://hub/api/datasets/org/name/parquet/plain/train/0.parquet"
    hub.answer(f"{API}/parquet", {"plain": {"train": [url]}})
    found = dataset_info("org/name", environ=hub.environment(tmp_path))
    assert (found.script, found.has_parquet) == ("name.py", True)
    assert found.configs == (HubConfig("plain", (HubSplit("train", ("plain/train/0.parquet",)),)),)


def test_the_conversions_branch_keeps_configs_apart(hub: Hub, tmp_path: Path) -> None:
    files: dict[str, int | None] = {"en/train/0000.parquet": 1, "fr/held_out/0000.parquet": 2}
    hub.answer(f"{API}/revision/refs%2Fconvert%2Fparquet", _facts(files))
    found = dataset_info("org/name", PARQUET_BRANCH, environ=hub.environment(tmp_path))
    assert found.configs == (
        HubConfig("en", (HubSplit("train", ("en/train/0000.parquet",), 1),)),
        HubConfig("fr", (HubSplit("held_out", ("fr/held_out/0000.parquet",), 2),)),
    )


@pytest.mark.parametrize(
    ("status", "code", "token", "where", "said"),
    [
        (401, "RepoNotFound", TOKEN, "gated", "does not exist, or is private"),
        (401, "", "", "gated", "does not exist, or is private"),
        (401, "", TOKEN, "unknown", "does not accept your token"),
        (403, "GatedRepo", TOKEN, "gated", "/datasets/org/name"),
        (404, "RepoNotFound", "", "missing", "there is no data set org/name"),
        (429, "", "", "unknown", "asked too often"),
        (500, "", "", "unknown", "is in trouble"),
        (200, "", "", "unknown", "makes no sense"),
    ],
)
def test_a_refusal_says_why(
    status: int, code: str, token: str, where: str, said: str, hub: Hub, tmp_path: Path
) -> None:
    hub.answers[API] = (status, b"[]")
    hub.headers[API] = {"x-error-code": code}
    found = dataset_info("org/name", environ=hub.environment(tmp_path, HF_TOKEN=token))
    assert found.where == where
    assert said in (found.reason or "")
    assert TOKEN not in (found.reason or "")


def test_a_revision_that_is_none_is_told_apart(hub: Hub, tmp_path: Path) -> None:
    found = dataset_info("org/name", "v9", environ=hub.environment(tmp_path))
    assert found.where == "missing"
    assert "no revision `v9`" in (found.reason or "")


def test_a_gated_one_names_the_page(hub: Hub, tmp_path: Path) -> None:
    hub.answer(API, _facts({"a.jsonl": 1}, gated="manual"))
    found = dataset_info("org/name", environ=hub.environment(tmp_path))
    assert (found.where, found.gated) == ("hub", "manual")
    assert f"{hub.url}/datasets/org/name" in (found.reason or "")


def test_offline_the_cache_answers(hub: Hub, tmp_path: Path) -> None:
    folder = _prepare(tmp_path)
    found = dataset_info("org/name", environ=hub.environment(tmp_path, HF_HUB_OFFLINE="1"))
    assert (found.where, found.commit, found.rows) == ("cached", COMMIT, 3)
    assert found.configs == (HubConfig("default", (HubSplit("train", rows=3),)),)
    assert found.cached is not None
    assert found.cached.prepared[0].folder == folder
    assert not hub.asked


def test_without_a_connection_the_cache_answers(tmp_path: Path) -> None:
    _prepare(tmp_path)
    environment = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path / "hf")}
    found = dataset_info("org/name", environ=environment)
    assert found.where == "cached"
    assert "cannot be reached" in (found.reason or "")


def test_another_revision_in_the_cache_is_not_taken_for_the_one_asked_for(
    hub: Hub, tmp_path: Path
) -> None:
    _prepare(tmp_path)
    _refer(tmp_path, "v1", COMMIT)
    _refer(tmp_path, "v2", "f" * 40)
    environment = hub.environment(tmp_path, HF_HUB_OFFLINE="1")
    where = {
        revision: dataset_info("org/name", revision, environ=environment).where
        for revision in ("v1", "v2", "v3")
    }
    assert where == {"v1": "cached", "v2": "unknown", "v3": "unknown"}


def test_the_datasets_cache_may_be_elsewhere_and_writes_names_in_snake_case(
    hub: Hub, tmp_path: Path
) -> None:
    _prepare(tmp_path, name="org___my_qa_data")
    environment = hub.environment(
        tmp_path, HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(tmp_path / "hf" / "datasets")
    )
    environment["HF_HOME"] = str(tmp_path / "elsewhere")
    assert dataset_info("org/MyQAData", environ=environment).where == "cached"


def test_damaged_caches_raise_nothing(hub: Hub, tmp_path: Path) -> None:
    (_prepare(tmp_path) / "dataset_info.json").write_bytes(b'{"splits": [1]}')
    (tmp_path / "hf" / "token").write_bytes(b"\xff")
    found = dataset_info("org/name", environ=hub.environment(tmp_path, HF_HUB_OFFLINE="1"))
    assert found.where == "unknown"
    assert "is not in the cache" in (found.reason or "")


@pytest.mark.parametrize(
    "facts",
    [
        {"siblings": [1, {"rfilename": 3}, {}]},
        {"siblings": [], "cardData": {"configs": [1, {"data_files": [1]}, {"data_files": {}}]}},
        {"siblings": [{"rfilename": "a.csv"}], "cardData": {"configs": [{"config_name": [1]}]}},
        {"siblings": [], "cardData": {"dataset_info": [{"splits": 3}, 4]}, "sha": 5, "tags": 6},
    ],
)
def test_no_answer_raises(facts: dict[str, Any], hub: Hub, tmp_path: Path) -> None:
    hub.answer(API, facts)
    hub.answer(f"{API}/parquet", {"default": {"train": 3}, "x": 4})
    assert dataset_info("org/name", environ=hub.environment(tmp_path)).where == "hub"


def test_a_commit_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    hub.answer(f"{API}/revision/v1", {"sha": COMMIT})
    environment = hub.environment(tmp_path)
    assert dataset_commit("org/name", "v1", environ=environment) == COMMIT
    assert dataset_commit("org/name", "v2", environ=environment) is None
    assert dataset_commit("org/name", environ={**environment, "HF_HUB_OFFLINE": "1"}) is None


def test_ids_are_told_apart_from_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "here").mkdir()
    given = [
        "org/name",
        "squad",
        "org/here",
        "org",
        "./org/name",
        "/a/b",
        "a/b/c",
        "",
        "rows.jsonl",
    ]
    ids = [text for text in given if is_dataset_id(text)]
    assert ids == ["org/name", "squad"]
    assert not is_dataset_id("a\0b")
    assert not is_dataset_id("data/train.jsonl.gz")
