"""Runs on data of the Hub: a local server answers, the real `datasets` fetches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.inspection.data_hub import COMMIT, DataHub, Repository, in_the_hubs_place
from tests.runs.conftest import Start, ended, history_of, wait_until
from tests.tiny_model import chat_rows
from tests.train.running import make_spec
from tui_ft.runs import control
from tui_ft.runs import events as ev
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.preflight import check
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.launch import launch, resume, with_absolute_paths
from tui_ft.runs.reader import read_events
from tui_ft.runs.run_data import FILE, wanted_of
from tui_ft.spec import RunSpec

WORKER = "tests.runs.workers:count_rows"
CARD = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train.jsonl
  - split: test
    path: main/test.jsonl
- config_name: other
  data_files: other.jsonl
---
"""
OnHub = Callable[..., RunSpec]


@pytest.fixture
def hub(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    with in_the_hubs_place(tmp_path / "hf", monkeypatch) as hub:
        yield hub


@pytest.fixture
def on_hub(spec: RunSpec) -> OnHub:
    def changed(**data: Any) -> RunSpec:
        return spec.model_copy(update={"data": spec.data.model_copy(update=data)})

    return changed


def _rows(count: int) -> bytes:
    rows = [{"prompt": f"say {n}", "completion": f"{n} of {count}"} for n in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _qa(hub: DataHub) -> Repository:
    files = {"main/train.jsonl": _rows(40), "main/test.jsonl": _rows(7), "other.jsonl": _rows(3)}
    card = yaml.safe_load(CARD.split("---")[1])
    hub.repositories["org/qa"] = Repository({"README.md": CARD.encode(), **files}, card)
    return hub.repositories["org/qa"]


def _said(findings: tuple[Finding, ...], severity: str = "bad") -> str:
    return "; ".join(f"{f.text} ({f.advice})" for f in findings if f.severity == severity)


def _fetched(hub: DataHub) -> list[str]:
    return [asked for asked in hub.asked if asked.startswith("GET datasets/")]


def test_a_run_fetches_its_data_and_keeps_their_id(
    hub: DataHub, start: Start, on_hub: OnHub
) -> None:
    _qa(hub)
    spec = on_hub(train="org/qa", config="main", eval="org/qa", eval_split="test")
    folder = start("count_rows", spec)
    summary = wait_until(folder, ended)
    assert summary.reason == "rows: [40, 7]"
    assert folder.spec().data.train == "org/qa"
    events = list(read_events(folder))
    assert any(it.phase == "download" for it in events if isinstance(it, ev.Phase))
    alerts = [it.text for it in events if isinstance(it, ev.Alert)]
    assert "training data: prompt_completion (100 % of rows have `prompt`, `completion`)" in alerts
    assert any("org/qa: the split `train` was taken; others are test" in it for it in alerts)
    _assert_recorded(folder, splits=["train", "test"])


def _assert_recorded(folder: RunFolder, splits: list[str]) -> None:
    data = json.loads(folder.environment_file.read_text())["data"]
    assert data is not None
    assert [it["hub"] for it in data] == [
        {"id": "org/qa", "config": "main", "split": split, "revision": COMMIT} for split in splits
    ]
    assert all(len(it["sha256"]) == 64 for it in data)


def test_resume_and_a_second_run_take_what_is_here(
    hub: DataHub, start: Start, on_hub: OnHub
) -> None:
    repository = _qa(hub)
    spec = on_hub(train="org/qa", config="main")
    first = start("count_rows", spec)
    wait_until(first, ended)
    hub.asked.clear()
    second = start("count_rows", spec)
    assert wait_until(second, ended).reason == "rows: [40]"
    assert _fetched(hub) == []
    # What the data set becomes meanwhile is not for a run that has begun …
    repository.commit, repository.files["main/train.jsonl"] = "f" * 40, _rows(50)
    resume(first, worker=WORKER)
    assert wait_until(first, lambda it: ended(it) and it.attempt == 2).reason == "rows: [40]"
    # … and for a new one it is.
    third = start("count_rows", spec)
    assert wait_until(third, ended).reason == "rows: [50]"


def test_a_stop_ends_the_download_at_once(hub: DataHub, start: Start, on_hub: OnHub) -> None:
    content = b"".join(b'{"prompt": "%d", "completion": "x"}\n' % n for n in range(3_000))
    hub.repositories["org/slow"] = Repository({"train.jsonl": content}, slow={"train.jsonl"})
    folder = start("count_rows", on_hub(train="org/slow"))
    wait_until(folder, lambda _: _is_fetching(folder))
    supervisor = psutil.Process(wait_until(folder, lambda it: bool(it.pid)).pid)
    (download,) = supervisor.children()
    assert "tui_ft.inspection.download" in download.cmdline()
    control.request_stop(folder)
    summary = wait_until(folder, ended)
    assert summary.state == "stopped"
    assert not (folder.path / FILE).exists()  # it was not fetched to its end
    assert "before training began" in summary.reason
    assert not download.is_running()


@pytest.mark.slow
def test_the_real_worker_trains_on_it(
    hub: DataHub, home: Path, tmp_path: Path, tiny_llama: Path
) -> None:
    rows = {"train.jsonl": chat_rows(40), "test.jsonl": chat_rows(8, seed=1)}
    files = {name: "\n".join(map(json.dumps, some)).encode() for name, some in rows.items()}
    hub.repositories["org/chat"] = Repository(files)
    data = {"train": "org/chat", "eval": "org/chat", "eval_split": "test"}
    folder = launch(make_spec(tmp_path, tiny_llama, data=data, training={"max_steps": 2}))
    summary = wait_until(folder, ended)
    assert (summary.state, summary.step) == ("finished", 2), summary.reason
    (plan,) = [it for it in read_events(folder) if isinstance(it, ev.Plan)]
    assert (plan.train_rows, plan.eval_rows) == (40, 8)


def _is_fetching(folder: RunFolder) -> bool:
    phase = history_of(folder).phase
    return phase is not None and phase.text == "fetches org/slow" and bool(phase.total)


def test_the_preflight_says_what_will_be_fetched(
    hub: DataHub, on_hub: OnHub, tmp_path: Path
) -> None:
    _qa(hub)
    findings = check(on_hub(train="org/qa", config="main"), tmp_path)
    size = len(_rows(40)) + len(_rows(7))
    assert [f.text for f in findings] == [
        "training data: org/qa (config main, split train) is fetched from the Hub first "
        f"({size / 1e3:.2f} kB)"
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": "org/none"}, "does not exist, or is private"),
        ({"train": "org/gated"}, "ask for access on"),
        ({"train": "org/qa", "config": "fr"}, "no config `fr`; it has main, other"),
        (
            {"train": "org/qa", "config": "main", "train_split": "dev"},
            "no split `dev`; it has train, test (choose one with data.train_split)",
        ),
        ({"train": "org/script"}, "is a program (script.py)"),
        ({"train": "org/qa", "revision": "v9"}, "has no revision `v9`"),
    ],
)
def test_the_preflight_says_what_cannot_be_had(
    data: dict[str, str], said: str, hub: DataHub, on_hub: OnHub, tmp_path: Path
) -> None:
    _qa(hub)
    hub.repositories["org/gated"] = Repository({"train.jsonl": _rows(3)}, gated=True)
    hub.repositories["org/script"] = Repository({"script.py": b"", "train.jsonl": _rows(3)})
    findings = check(on_hub(**data), tmp_path)
    assert said in _said(findings) + _said(findings, "warning")


def test_offline_only_what_is_here_can_be_taken(
    hub: DataHub, start: Start, on_hub: OnHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _qa(hub)
    spec = on_hub(train="org/qa", config="main")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "org/qa is not in the cache" in _said(check(spec, tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    wait_until(start("count_rows", spec), ended)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    findings = check(spec, tmp_path)
    assert _said(findings) == ""
    assert "org/qa is on this machine already" in findings[0].text
    assert wait_until(start("count_rows", spec), ended).reason == "rows: [40]"


def test_ids_stay_ids_and_paths_become_absolute(
    on_hub: OnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "here").mkdir()
    data = with_absolute_paths(on_hub(train="org/qa", eval="org/here"), tmp_path).data
    assert (data.train, data.eval) == ("org/qa", str(tmp_path / "org" / "here"))
    missing = with_absolute_paths(on_hub(train="rows.jsonl"), tmp_path)
    assert missing.data.train == str(tmp_path / "rows.jsonl")
    assert wanted_of(missing) == {}


def test_config_and_revision_go_with_the_same_data_set_only(on_hub: OnHub) -> None:
    same = on_hub(train="a/b", eval="a/b", config="c", revision="r", eval_split="test")
    other = on_hub(train="a/b", eval="d/e", config="c", revision="r", train_split="t")
    train, evaluated = wanted_of(same)["train"], wanted_of(same)["eval"]
    assert (train.config, train.revision, train.split) == ("c", "r", None)
    assert (evaluated.config, evaluated.revision, evaluated.split) == ("c", "r", "test")
    assert wanted_of(other)["train"].split == "t"
    assert wanted_of(other)["eval"].config is None
    assert wanted_of(other)["eval"].revision is None
