"""A home with run folders in it, made by hand, and a spec that could be started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.runs.conftest import ROOT
from tui_ft.cli import main
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder, create
from tui_ft.runs.journal import Journal
from tui_ft.spec import RunSpec, build_spec

Ftui = Callable[..., Result]
MakeRun = Callable[..., RunFolder]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("FTUI_HOME", str(home))
    monkeypatch.setenv("FTUI_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def ftui(home: Path) -> Ftui:
    """Return the command: `ftui("runs", "--json")`."""

    def run(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=answer)

    return run


@pytest.fixture
def spec_file(tmp_path: Path, home: Path) -> Path:
    """Return a YAML file of a run that has nothing against it."""
    rows = [{"prompt": f"say {n}", "completion": str(n)} for n in range(30)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\0" * 1000)
    file = tmp_path / "run.yaml"
    file.write_text(
        "name: support\nmodel: {name_or_path: model}\ndata: {train: data.jsonl}\n"
        "hardware: {gpus: none}\n"
    )
    return file


@pytest.fixture
def make_run(home: Path) -> MakeRun:
    def make(name: str, *events: ev.Event) -> RunFolder:
        folder = create(_spec(name))
        journal = Journal(folder)
        attempt = ev.Attempt(number=1, host=socket.gethostname(), user="anna", pid=1, t=50.0)
        for event in (attempt, *events):
            journal.write(event)
        journal.close()
        return folder

    return make


def _spec(name: str) -> RunSpec:
    return build_spec({"name": name, "model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}})


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command as people do."""
    return subprocess.run(
        [sys.executable, "-c", "from tui_ft.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
