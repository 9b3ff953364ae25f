"""`ftui datasets`, with a server that answers as the Hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.hub.conftest import Hub
from tests.hub.test_datasets_search import ENTRY
from tui_ft.commands.hub_data import datasets


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture(autouse=True)
def _environment(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    for name, value in hub.environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def _ftui(*arguments: str) -> Result:
    return CliRunner().invoke(datasets, arguments)


def test_a_line_for_each_data_set(hub: Hub) -> None:
    hub.answer("/api/datasets", [ENTRY, {"id": "bare"}])
    done = _ftui("alpaca", "en", "--limit", "5")
    assert done.exit_code == 0
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["data", "set", "rows", "size", "licence", "downloads", "changed"]
    assert first.split() == [
        *("org/alpaca", "52", "24.0", "kB", "apache-2.0", "1.20", "k", "2026-01-31", "gated")
    ]
    assert second.split() == ["bare", *(["n/a"] * 5)]
    assert hub.queries[0].startswith("search=alpaca+en&limit=5&")


def test_as_json(hub: Hub) -> None:
    hub.answer("/api/datasets", [ENTRY])
    (found,) = json.loads(_ftui("alpaca", "--json").stdout)
    assert (found["id"], found["rows"], found["licence"]) == ("org/alpaca", 52, "apache-2.0")


def test_nothing_found(hub: Hub) -> None:
    hub.answer("/api/datasets", [])
    done = _ftui("zzz")
    assert (done.exit_code, done.stdout) == (0, "no data set on the Hub is called so: zzz\n")
    assert _ftui("zzz", "--json").stdout == "[]\n"


@pytest.mark.parametrize("arguments", [("x",), ("x", "--json")])
def test_a_hub_in_trouble_is_a_sentence_and_an_exit_code(
    arguments: tuple[str, ...],
    hub: Hub,
) -> None:
    hub.answers["/api/datasets"] = (500, b"")
    done = _ftui(*arguments)
    assert done.exit_code == 1
    assert "is in trouble" in done.stderr
    if "--json" in arguments:
        assert "is in trouble" in json.loads(done.stdout)["error"]
    else:
        assert done.stdout == ""


@pytest.mark.parametrize("arguments", [(), ("x", "--limit", "0"), ("x", "--limit", "many")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert _ftui(*arguments).exit_code == 2
