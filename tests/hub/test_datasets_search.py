"""Data sets are searched on a server that answers as the Hub does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hub.conftest import TOKEN, Hub, Mute
from tui_ft.hub import client, datasets_search, kept_answers
from tui_ft.hub.datasets_search import HubDataset, search_datasets
from tui_ft.hub.listing import may_be_named

ENTRY: dict[str, Any] = {
    "id": "org/alpaca",
    "downloads": 1_200,
    "likes": 7,
    "gated": "manual",
    "private": False,
    "lastModified": "2026-01-31T10:00:00.000Z",
    "tags": ["license:apache-2.0", "size_categories:10K<n<100K", "language:en"],
    "description": "Instructions\n\tand answers.",
    "cardData": {
        "dataset_info": {
            "download_size": 24_000,
            "splits": [
                {"name": "train", "num_examples": 50},
                {"name": "test", "num_examples": 2},
            ],
        }
    },
}


def test_what_one_chooses_by_is_read(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/datasets", [ENTRY])
    answer = search_datasets("alpaca", environ=hub.environment(tmp_path))
    assert answer.problem is None
    assert answer.found == (
        HubDataset(
            id="org/alpaca",
            downloads=1_200,
            likes=7,
            gated="manual",
            licence="apache-2.0",
            size_bytes=24_000,
            rows=52,
            rows_class="10K<n<100K",
            last_modified="2026-01-31T10:00:00.000Z",
            tags=("license:apache-2.0", "size_categories:10K<n<100K", "language:en"),
            description="Instructions and answers.",
        ),
    )


def test_the_hub_is_asked_in_full_with_the_users_token(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/datasets", [])
    search_datasets(" tool & use ", 5, environ=hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert hub.asked == [("/api/datasets", f"Bearer {TOKEN}")]
    assert hub.queries == ["search=tool+%26+use&limit=5&sort=downloads&full=true"]


@pytest.mark.parametrize(("limit", "asked"), [(0, 1), (-3, 1), (10_000, 100)])
def test_the_limit_is_one_that_the_hub_takes(
    limit: int, asked: int, hub: Hub, tmp_path: Path
) -> None:
    search_datasets("x", limit, environ=hub.environment(tmp_path))
    assert f"&limit={asked}&" in hub.queries[0]


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
    hub.answers["/api/datasets"] = (status, body)
    hub.headers["/api/datasets"] = {"retry-after": "30"}
    answer = search_datasets("x", environ=hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert answer.found == ()
    assert said in (answer.problem or "")
    assert TOKEN not in (answer.problem or "")


def test_a_slow_answer_is_given_up(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    hub.answers["/api/datasets"] = (200, b"[" + b" " * 1_000 + b"]")
    hub.dribbling.add("/api/datasets")
    answer = search_datasets("x", environ=hub.environment(tmp_path))
    assert "does not answer" in (answer.problem or "")


def test_no_connection_is_told(tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    assert "cannot be reached" in (search_datasets("x", environ=environment).problem or "")


def test_offline_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    answer = search_datasets("x", environ=hub.environment(tmp_path, HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE" in (answer.problem or "")
    assert not hub.asked


def test_a_part_that_nobody_counted_makes_no_total(hub: Hub, tmp_path: Path) -> None:
    infos = [{"splits": [{"num_examples": 5}]}, {"splits": [{"name": "test"}]}]
    hub.answer("/api/datasets", [{"id": "a", "cardData": {"dataset_info": infos}}])
    (found,) = search_datasets("x", environ=hub.environment(tmp_path)).found
    assert (found.rows, found.size_bytes) == (None, None)


def test_texts_that_would_drive_the_terminal_arrive_harmless(hub: Hub, tmp_path: Path) -> None:
    evil = "\x1b[2Jevil\u202e"
    entry = {"id": "a", "tags": [f"license:{evil}"], "description": evil, "lastModified": evil}
    hub.answer("/api/datasets", [entry, {"id": evil}])
    (found,) = search_datasets("x", environ=hub.environment(tmp_path)).found
    shown = "".join((found.licence or "", found.description, found.last_modified or ""))
    assert shown == "evil\ufffd" * 3


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from([*ENTRY, "x"]), _json))
def test_no_entry_raises(entry: dict[str, Any]) -> None:
    read = datasets_search._dataset({"id": "a", **json.loads(json.dumps(entry))})
    assert read is None or client.ID.fullmatch(read.id)


@given(_json)
def test_no_card_raises(card: Any) -> None:
    size, rows = datasets_search.card_sizes({"dataset_info": card})
    assert size is None or size >= 0
    assert rows is None or rows >= 0


def test_a_mute_hub_is_told(mute: Mute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    environment = {"HF_ENDPOINT": mute.url, "HF_HOME": str(tmp_path)}
    assert "does not answer" in (search_datasets("x", environ=environment).problem or "")


def test_answers_are_kept_for_minutes_and_failures_are_not(hub: Hub, tmp_path: Path) -> None:
    hub.answer("/api/datasets", [ENTRY])
    environment = hub.environment(tmp_path)
    for query in ("llama", " llama "):
        assert len(search_datasets(query, environ=environment).found) == 1
    assert len(hub.asked) == 1
    hub.answers["/api/datasets"] = (500, b"")
    for _ in range(2):
        assert search_datasets("bad", environ=environment).problem is not None
    assert len(hub.asked) == 3


def test_an_old_answer_stands_in_with_its_age(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.answer("/api/datasets", [ENTRY])
    environment = hub.environment(tmp_path)
    search_datasets("llama", environ=environment)
    monkeypatch.setattr(kept_answers, "FRESH_SECONDS", -1.0)
    hub.answers["/api/datasets"] = (500, b"")
    answer = search_datasets("llama", environ=environment)
    assert [one.id for one in answer.found] == ["org/alpaca"]
    assert "is in trouble" in (answer.warning or "")
    assert re.search(r"its answer of \d+s ago", answer.warning or "")


@pytest.mark.parametrize(
    ("typed", "asked"),
    [("al", True), ("org/al", True), ("a", False), ("/al", False), ("~/al", False), ("./a", False)],
)
def test_paths_are_not_searched_for(typed: str, asked: bool) -> None:
    assert may_be_named(typed) is asked


def test_formats_are_told_where_the_hub_knows_them() -> None:
    assert HubDataset("a", tags=("format:json", "language:en", "format:csv")).formats == (
        "json",
        "csv",
    )
