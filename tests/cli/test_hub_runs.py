"""`ftui check`, `ftui train` and New run with data on the Hub, before anything is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ftui
from tests.inspection.data_hub import DataHub, Repository, in_the_hubs_place
from tui_ft.screens.starting import start_run
from tui_ft.spec import load_spec

ROWS = b'{"prompt": "a", "completion": "b"}\n' * 30


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    with in_the_hubs_place(tmp_path / "hf", monkeypatch) as hub:
        hub.repositories["org/qa"] = Repository({"train.jsonl": ROWS})
        yield hub


def test_check_says_what_will_be_fetched_and_fetches_nothing(
    ftui: Ftui, spec_file: Path, hub: DataHub
) -> None:
    done = ftui("check", str(spec_file), "--set", "data.train=org/qa", "--no-memory")
    assert done.exit_code == 0, done.output
    assert (
        "training data: org/qa (split train) is fetched from the Hub first (1.05 kB)" in done.output
    )
    assert not [it for it in hub.asked if it.startswith("GET datasets/")]


def test_what_is_not_there_is_refused_before_a_run_is_made(
    ftui: Ftui, spec_file: Path, hub: DataHub, home: Path
) -> None:
    for command in ("check", "train"):
        done = ftui(command, str(spec_file), "--set", "data.train=org/none")
        assert done.exit_code == 1
        assert "org/none does not exist, or is private" in done.output
        assert "nor is there a file or folder of that name here" in done.output
    bad = json.loads(ftui("check", str(spec_file), "--set", "data.eval=org/none", "--json").stdout)
    assert [it["severity"] for it in bad if "org/none" in it["text"]] == ["bad"]
    assert not (home / "runs").exists()


def test_what_is_for_the_hub_does_nothing_for_a_file(ftui: Ftui, spec_file: Path) -> None:
    done = ftui("check", str(spec_file), "--set", "data.train_split=test", "--no-memory")
    assert done.exit_code == 0
    assert "data.train_split is for data sets on the Hub, and does nothing here" in done.output
    assert "on the Hub" not in ftui("check", str(spec_file), "--no-memory").output


def test_configure_says_it_too(ftui: Ftui, spec_file: Path, hub: DataHub) -> None:
    start = start_run(load_spec(spec_file, ["data.train=org/none"]))
    assert start.folder is None
    assert "org/none does not exist, or is private" in "".join(it.plain for it in start.problems)
