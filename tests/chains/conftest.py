"""A home for chains, and a chain of two runs that never load a model."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.runs.conftest import ROOT, end_run, history_of
from tui_ft import paths
from tui_ft.chains.folder import ChainFolder, all_chains
from tui_ft.chains.journal import Attended, read
from tui_ft.chains.status import ChainStatus, status_of
from tui_ft.runs.folder import RunFolder, all_folders

WORK = "tests.chains.workers:work"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / "home"
    monkeypatch.setenv("FTUI_HOME", str(home))
    monkeypatch.setenv("FTUI_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("LET_GO", raising=False)
    monkeypatch.chdir(tmp_path)
    yield home
    for chain in all_chains():
        end_conductor(chain)
    for run in all_folders():
        end_run(run)


LetGo = Callable[..., None]


@pytest.fixture
def let_go(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LetGo:
    """Hold each run at its fifth step; return what lets those go on that it is given."""
    place = tmp_path / "let-go"
    place.mkdir()
    monkeypatch.setenv("LET_GO", str(place))

    def let(*runs: str) -> None:
        for run in runs:
            (place / run).touch()

    return let


def conductor_of(chain: ChainFolder) -> int:
    """Return the process of a chain."""
    return [event.pid for event in read(chain) if isinstance(event, Attended)][-1]


def end_conductor(chain: ChainFolder) -> None:
    """Kill the process of a chain, as nothing would be forgiven."""
    # It ends by itself just now, or has, or was never there.
    with contextlib.suppress(psutil.NoSuchProcess, IndexError):
        process = psutil.Process(conductor_of(chain))
        if "tui_ft.chains.conductor" in process.cmdline():
            process.kill()
            process.wait(120)


@pytest.fixture
def chain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a chain of SFT and DPO; its model can only be looked at."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\0" * 1000)
    monkeypatch.setenv("BASE", str(model))
    chats = [{"prompt": f"say {n}", "completion": str(n)} for n in range(30)]
    pairs = [{"prompt": f"say {n}", "chosen": str(n), "rejected": "no"} for n in range(30)]
    for name, rows in (("chats", chats), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = tmp_path / "chain.yaml"
    file.write_text(
        """\
name: two
stages:
- name: sft
  preset: sft-lora
  run:
    model: {name_or_path: model}
    data: {train: chats.jsonl}
    hardware: {gpus: none}
- name: dpo
  preset: dpo-lora
  run:
    model: {name_or_path: previous}
    data: {train: pairs.jsonl}
    hardware: {gpus: none}
    training: {max_length: 512}
"""
    )
    return file


def wait_until(
    chain: ChainFolder, condition: Callable[[ChainStatus], bool], seconds: float = 120.0
) -> ChainStatus:
    """Return the first status that fulfils the condition."""
    deadline = time.monotonic() + seconds
    while True:
        status = status_of(chain)
        if condition(status):
            return status
        said = chain.log.read_text() if chain.log.exists() else ""
        assert time.monotonic() < deadline, f"still {status}; it said: {said}"
        time.sleep(0.05)


def ended(status: ChainStatus) -> bool:
    return not status.is_live


def at_work(stage: str, step: int = 1) -> Callable[[ChainStatus], bool]:
    """Return a condition: the stage trains, and has done at least so many steps."""

    def holds(status: ChainStatus) -> bool:
        run = next(one.run for one in status.stages if one.name == stage)
        if run is None:
            return False
        return len(history_of(RunFolder(paths.runs_dir() / run)).series("loss").x) >= step

    return holds
