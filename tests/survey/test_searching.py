"""Rows are searched for a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui_ft.survey.asking import Asked
from tui_ft.survey.request import Request
from tui_ft.survey.searching import Found, search_rows


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    rows = [
        {"prompt": f"question {n}", "completion": f"The ANSWER is {n}.", "tags": [{"k": "ünï"}]}
        for n in range(1_000)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = Asked(Request(str(path)))
    for _ in asked.follow():
        pass
    return asked


def _found(asked: Asked, query: str, among: list[int] | None = None) -> Found:
    summary = asked.summary()
    assert summary is not None
    *_, last = search_rows(asked.folder, summary, query, among)
    assert last.is_over
    return last


def test_any_case_and_any_depth(asked: Asked) -> None:
    assert list(_found(asked, "answer is 77.").positions) == [77]
    assert len(_found(asked, "ÜNÏ").positions) == 1_000
    assert not _found(asked, "nowhere").positions


def test_names_of_columns_are_not_looked_at(asked: Asked) -> None:
    assert not _found(asked, "completion").positions


def test_one_column_alone(asked: Asked) -> None:
    assert list(_found(asked, "prompt:question 99").positions) == [99, *range(990, 1_000)]
    assert not _found(asked, "completion:question").positions
    assert not _found(asked, "no such:question").positions


def test_among_the_rows_of_a_finding(asked: Asked) -> None:
    found = _found(asked, "question", among=[3, 500, 7])
    assert list(found.positions) == [3, 500, 7]
    assert (found.looked_at, found.total) == (3, 3)
    assert _found(asked, "question", among=[]).is_over
