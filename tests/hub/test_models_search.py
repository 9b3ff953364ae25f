"""Models are searched on a server that answers as the Hub does; what it said is kept."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hub.conftest import TOKEN, Hub, Mute
from tui_ft.hub import client, kept_answers, models_search
from tui_ft.hub.models_search import HubModel, hub_model, search_models

ENTRY: dict[str, Any] = {
    "_id": "x",
    "id": "org/Llama-8B",
    "downloads": 12_000,
    "likes": 7,
    "gated": "manual",
    "private": False,
    "lastModified": "2026-01-31T10:00:00.000Z",
    "pipeline_tag": "text-generation",
    "tags": ["transformers", "license:llama3.1", "conversational"],
    "safetensors": {"parameters": {"BF16": 8_000_000_000, "F32": 1_000}, "total": 8_000_001_000},
    "config": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "tokenizer_config": {"bos_token": "<s>", "chat_template": "{{ messages }}"},
    },
}


def _age(home: Path, seconds: float) -> None:
    for file in (home / "hub").iterdir():
        os.utime(file, (time.time() - seconds,) * 2)


def test_what_one_chooses_by_is_read(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/models", [ENTRY])
    answer = search_models("llama", environ=hub.environment(tmp_path))
    assert (answer.problem, answer.age_s) == (None, 0)
    assert answer.found == (
        HubModel(
            id="org/Llama-8B",
            downloads=12_000,
            likes=7,
            gated="manual",
            licence="llama3.1",
            parameters=8_000_001_000,
            size_bytes=16_000_004_000,
            chat_template=True,
            model_type="llama",
            task="text-generation",
            last_modified="2026-01-31T10:00:00.000Z",
            tags=("transformers", "license:llama3.1", "conversational"),
        ),
    )


def test_the_hub_is_asked_for_what_is_shown(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/models", [])
    search_models(" qwen & co ", 5, environ=hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert hub.asked == [("/api/models", f"Bearer {TOKEN}")]
    (query,) = hub.queries
    assert query.startswith("search=qwen+%26+co&limit=5&sort=downloads&filter=transformers&expand=")
    asked = [part.removeprefix("expand=") for part in query.split("&") if "expand=" in part]
    assert {"safetensors", "config", "gated", "tags", "downloads"} <= set(asked)


@pytest.mark.parametrize(
    ("config", "tags", "has"),
    [
        ({"tokenizer_config": {"chat_template": "x"}}, [], True),
        ({"chat_template_jinja": "x"}, [], True),
        ({}, ["conversational"], True),
        ({"tokenizer_config": {"bos_token": "x"}}, [], False),
        ({"tokenizer_config": {"chat_template": None}}, [], False),
        ({}, [], None),
        ({"tokenizer_config": 3}, [], None),
        ("x", [], None),
    ],
)
def test_a_chat_template_is_there_or_not_or_unknown(
    config: Any, tags: list[str], has: bool | None, hub: Hub, tmp_path: Path
) -> None:
    hub.answer("/api/models", [{"id": "a", "config": config, "tags": tags}])
    (found,) = search_models("x", environ=hub.environment(tmp_path)).found
    assert found.chat_template is has


def test_sizes_that_cannot_be_told_are_not(hub: Hub, tmp_path: Path) -> None:
    unknown = {"parameters": {"BF16": 5, "Q9": 7}, "total": 12}
    packed = {"parameters": {"F4": 10, "U8": 3}, "total": 13}
    hub.answer(
        "/api/models",
        [{"id": "a"}, {"id": "b", "safetensors": unknown}, {"id": "c", "safetensors": packed}],
    )
    found = search_models("x", environ=hub.environment(tmp_path)).found
    assert [(one.parameters, one.size_bytes) for one in found] == [
        (None, None),
        (12, None),
        (13, 8),
    ]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"", "does not accept your token"),
        (403, b"", "lacks the permission"),
        (404, b"{}", "answers 404"),
        (429, b"", "try again in 30 s"),
        (500, b"oops", "is in trouble"),
        (200, b"<html>log in", "makes no sense"),
        (200, b'{"error": "x"}', "makes no sense"),
        (200, b"[" * 100_000, "makes no sense"),
        (200, b"\xff\xfe", "makes no sense"),
        (200, b"", "makes no sense"),
    ],
)
def test_every_other_answer_is_put_into_words(
    status: int, body: bytes, said: str, hub: Hub, tmp_path: Path
) -> None:
    hub.answers["/api/models"] = (status, body)
    hub.headers["/api/models"] = {"retry-after": "30"}
    answer = search_models("x", environ=hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert answer.found == ()
    assert said in (answer.problem or "")
    assert TOKEN not in (answer.problem or "")


def test_a_slow_answer_and_a_mute_hub_are_given_up(
    hub: Hub, mute: Mute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    hub.answers["/api/models"] = (200, b"[" + b" " * 1_000 + b"]")
    hub.dribbling.add("/api/models")
    slow = search_models("x", environ=hub.environment(tmp_path))
    silent = search_models("x", environ={"HF_ENDPOINT": mute.url, "HF_HOME": str(tmp_path)})
    assert "does not answer" in (slow.problem or "")
    assert "does not answer" in (silent.problem or "")


def test_the_same_words_are_asked_for_once(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/models", [ENTRY])
    environment = hub.environment(tmp_path)
    first = search_models("llama", environ=environment)
    again = search_models("llama ", environ=environment)
    assert again.found == first.found
    assert 0 <= again.age_s < 60
    assert len(hub.asked) == 1
    search_models("llama", 3, environ=environment)
    search_models("other", environ=environment)
    assert len(hub.asked) == 3


def test_an_old_answer_is_asked_for_anew(hub: Hub, tmp_path: Path, _home: Path) -> None:
    hub.answer("/api/models", [ENTRY])
    environment = hub.environment(tmp_path)
    search_models("llama", environ=environment)
    _age(_home, kept_answers.FRESH_SECONDS + 1)
    hub.answer("/api/models", [{"id": "new"}])
    assert [one.id for one in search_models("llama", environ=environment).found] == ["new"]
    assert len(hub.asked) == 2


@pytest.mark.parametrize("how", ["offline", "down", "trouble"])
def test_an_old_answer_stands_in_with_the_reason(
    how: str, hub: Hub, tmp_path: Path, _home: Path
) -> None:
    hub.answer("/api/models", [ENTRY])
    environment = hub.environment(tmp_path)
    search_models("llama", environ=environment)
    _age(_home, 7_200)
    if how == "offline":
        environment["HF_HUB_OFFLINE"] = "1"
    elif how == "down":
        hub.close()
    else:
        hub.answers["/api/models"] = (500, b"")
    answer = search_models("llama", environ=environment)
    assert [one.id for one in answer.found] == ["org/Llama-8B"]
    assert answer.problem is not None
    assert 7_200 <= answer.age_s < 7_300


def test_offline_without_an_answer_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    answer = search_models("x", environ=hub.environment(tmp_path, HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE" in (answer.problem or "")
    assert not hub.asked


def test_what_is_kept_is_private_and_without_the_token(
    hub: Hub, tmp_path: Path, _home: Path
) -> None:
    hub.answer("/api/models", [ENTRY])
    search_models("llama", environ=hub.environment(tmp_path, HF_TOKEN=TOKEN))
    search_models("llama", environ=hub.environment(tmp_path))
    files = list((_home / "hub").iterdir())
    assert len(files) == 2  # with the token and without, two questions
    assert stat.S_IMODE((_home / "hub").stat().st_mode) == 0o700
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert TOKEN not in file.name + file.read_text()


def test_not_more_is_kept_than_wanted(
    hub: Hub, tmp_path: Path, _home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "_MOST_KEPT", 3)
    hub.answer("/api/models", [])
    for word in "abcdef":
        search_models(word, environ=hub.environment(tmp_path))
    assert len(list((_home / "hub").iterdir())) == 3


def test_nonsense_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.answers["/api/models"] = (200, b"<html>log in")
    environment = hub.environment(tmp_path)
    search_models("llama", environ=environment)
    hub.answer("/api/models", [ENTRY])
    assert len(search_models("llama", environ=environment).found) == 1


def test_a_folder_that_cannot_be_written_only_forgets(
    hub: Hub, tmp_path: Path, _home: Path
) -> None:
    _home.write_text("a file in the way")
    hub.answer("/api/models", [ENTRY])
    assert len(search_models("llama", environ=hub.environment(tmp_path)).found) == 1


def test_texts_that_would_drive_the_terminal_arrive_harmless(hub: Hub, tmp_path: Path) -> None:
    evil = "\x1b[2Jevil\u202e"
    entry = {
        "id": "a",
        "tags": [f"license:{evil}"],
        "pipeline_tag": evil,
        "lastModified": evil,
        "config": {"model_type": evil},
    }
    hub.answer("/api/models", [entry, {"id": evil}])
    (found,) = search_models("x", environ=hub.environment(tmp_path)).found
    shown = (found.licence, found.task, found.last_modified, found.model_type)
    assert shown == ("evil\ufffd",) * 4


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ENTRY, "x"]), _json))
def test_no_entry_raises(entry: dict[str, Any]) -> None:
    read = models_search._model({"id": "a", **json.loads(json.dumps(entry))})
    assert read is None or client.ID.fullmatch(read.id)


def test_one_model_by_its_id(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/models/org/Llama-8B", ENTRY)
    environment = hub.environment(tmp_path)
    found = hub_model("org/Llama-8B", environment)
    assert found is not None
    assert (found.licence, found.parameters) == ("llama3.1", 8_000_001_000)
    assert hub_model("org/other", environment) is None
    assert hub_model("no id/at/all", environment) is None
    hub.answers["/api/models/org/garbage"] = (200, b"<html>")
    assert hub_model("org/garbage", environment) is None
