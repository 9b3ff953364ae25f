"""A home, a data set and a model's folder for runs that never load a model."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tui_ft.runs.folder import RunFolder, all_folders
from tui_ft.runs.history import RunHistory
from tui_ft.runs.launch import launch
from tui_ft.runs.orphans import end_orphan
from tui_ft.runs.reader import RunReader
from tui_ft.runs.registry import RunSummary, summary_of
from tui_ft.spec import RunSpec, build_spec

ROOT = Path(__file__).resolve().parents[2]

Start = Callable[..., RunFolder]

_LONG = 120.0
"""Seconds after which something is wrong, on however slow a machine."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / "home"
    monkeypatch.setenv("FTUI_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield home
    for folder in all_folders():
        end_run(folder)


def end_run(folder: RunFolder) -> None:
    """End whatever processes a test left of a run, also those that have said nothing yet."""
    ended = []
    for process in psutil.process_iter(["cmdline"]):
        if {"tui_ft.runs.supervisor", str(folder.path)} <= set(process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                ended += [process, *process.children(recursive=True)]
    for process in ended:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    end_orphan(folder)


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": f"say {n}", "completion": str(n)} for n in range(30)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\0" * 1000)
    return build_spec(
        {
            "name": "support",
            "model": {"name_or_path": str(model)},
            "data": {"train": str(data)},
            "hardware": {"gpus": "none"},
        }
    )


@pytest.fixture
def start(home: Path, spec: RunSpec) -> Start:
    def start_one(worker: str, chosen: RunSpec | None = None) -> RunFolder:
        return launch(chosen or spec, worker=f"tests.runs.workers:{worker}")

    return start_one


def wait_until(
    folder: RunFolder, condition: Callable[[RunSummary], bool], seconds: float = _LONG
) -> RunSummary:
    """Return the first summary that fulfils the condition."""
    deadline = time.monotonic() + seconds
    while True:
        summary = summary_of(folder)
        if condition(summary):
            return summary
        said = folder.log.read_text() if folder.log.exists() else ""
        assert time.monotonic() < deadline, f"still {summary}; supervisor said: {said}"
        time.sleep(0.05)


def ended(summary: RunSummary) -> bool:
    return not summary.is_live


def supervisor_of(folder: RunFolder) -> int:
    """Return the process of a run that has begun."""
    attempt = history_of(folder).attempt
    assert attempt is not None
    return attempt.pid


def history_of(folder: RunFolder) -> RunHistory:
    return RunReader(folder).catch_up()


def steps_done(folder: RunFolder, least: int) -> Callable[[RunSummary], bool]:
    """Return a condition: the run has logged at least so many steps."""
    return lambda _: len(history_of(folder).series("loss").x) >= least
