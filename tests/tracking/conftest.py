"""A run that has been, and stand-ins for the packages of trackers, at their outermost edge."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.spec import build_spec, dump_spec

# What the interfaces of wandb 0.31 and trackio 0.43 are, as far as they are used.
RECORDS = """
import json, os

class Settings:
    def __init__(self, **settings): self.settings = settings

class Run:
    def __init__(self): self.summary = {}
    def define_metric(self, name, step_metric=None): pass
    def log(self, metrics, step=None): _write({"log": metrics, "step": step})
    def finish(self, exit_code=0): _write({"finish": exit_code, "summary": self.summary})

def init(**given):
    given.pop("settings", None)
    _write({"init": given})
    return Run()

def _write(line):
    with open(os.environ["RECORDED"], "a") as file:
        file.write(json.dumps(line) + "\\n")
"""
HANGS = "import time\nSettings = dict\ndef init(**_):\n    time.sleep(100_000)\n"
RAISES = "Settings = dict\ndef init(**_):\n    raise OSError('no route to its server')\n"


class StandIn:
    """Puts modules where a run's processes find them, and reads what they recorded."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self._names: list[str] = []
        self._recorded = place / "recorded.jsonl"
        root = Path(__file__).resolve().parents[2]
        monkeypatch.setenv("PYTHONPATH", f"{place}:{root}")
        monkeypatch.setenv("RECORDED", str(self._recorded))
        monkeypatch.syspath_prepend(str(place))

    def write(self, name: str, source: str) -> None:
        (self.place / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)
        self._names.append(name)

    def forget(self) -> None:
        for name in self._names:
            sys.modules.pop(name, None)

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        lines = self._recorded.read_text().splitlines() if self._recorded.exists() else []
        return [line for line in map(json.loads, lines) if kind in line]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    place = tmp_path / "stand-ins"
    place.mkdir()
    made = StandIn(place, monkeypatch)
    yield made
    made.forget()


@pytest.fixture
def past_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Return a run that has finished, with three steps and an evaluation."""
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    folder = RunFolder(tmp_path / "past-run")
    folder.path.mkdir()
    values = {"model": {"name_or_path": "m"}, "data": {"train": "d"}}
    spec = build_spec({**values, "tracking": {"offline": True, "project": "colours"}})
    folder.spec_file.write_text(dump_spec(spec))
    journal = Journal(folder)
    journal.write(ev.Attempt(number=1, host="h", user="u", pid=0))
    for step in (1, 2, 3):
        values_now = {"loss": 4.0 / step, "grad_norm": None if step == 2 else 0.5}
        journal.write(ev.Metrics(step=step, epoch=0.1, values=values_now))
    journal.write(ev.Evaluation(step=3, epoch=0.1, values={"eval_loss": 1.25}))
    journal.write(ev.Score(when="after", rows=4, values={"exact_match": 0.75}))
    journal.write(ev.Ended(state="finished", reason="all steps done"))
    journal.close()
    return folder
