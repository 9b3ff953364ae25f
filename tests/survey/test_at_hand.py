"""Paths are completed as they are typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui_ft.survey.at_hand import Candidate, common_beginning, completions


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train-a.jsonl", "train-b.csv.gz", "Trailer.mp4", ".hidden.jsonl"):
        (tmp_path / name).write_text("12345")
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "one.parquet").touch()
    os.mkfifo(tmp_path / "train-pipe.json")
    (tmp_path / "train-gone.jsonl").symlink_to("nowhere")


def test_files_that_can_be_read_come_before_folders() -> None:
    assert completions("tr") == (
        Candidate("train-a.jsonl", is_folder=False, bytes=5),
        Candidate("train-b.csv.gz", is_folder=False, bytes=5),
        Candidate("trials/", is_folder=True),
    )
    assert [one.typed for one in completions("TRA")] == ["train-a.jsonl", "train-b.csv.gz"]
    assert [one.typed for one in completions("trials/")] == ["trials/one.parquet"]
    assert [one.typed for one in completions("./trials/o")] == ["./trials/one.parquet"]
    assert [one.typed for one in completions(".h")] == [".hidden.jsonl"]
    assert completions("tr", most=1) == completions("tr")[:1]


def test_the_home_folder_is_completed_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [one.typed for one in completions("~/trai")] == ["~/train-a.jsonl", "~/train-b.csv.gz"]


@pytest.mark.parametrize("typed", ["none/x", "\0", "train-a.jsonl/x", "~nobody-here/x"])
def test_what_cannot_be_listed_has_no_completion(typed: str) -> None:
    assert completions(typed) == ()


def test_the_common_beginning_is_what_tab_completes() -> None:
    assert common_beginning(completions("train")) == "train-"
    assert common_beginning(completions("trials")) == "trials/"
    assert common_beginning(()) == ""
