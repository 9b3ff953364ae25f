"""The path of an event from worker to reader, and opening a run with a long history."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.journal import Journal
from tui_ft.runs.launch import launch
from tui_ft.runs.link import WorkerLink
from tui_ft.runs.reader import RunReader
from tui_ft.runs.registry import summary_of
from tui_ft.spec import RunSpec, build_spec

EVENTS = 50_000
HISTORY = 100_000


def flood(run_dir: Path, gpus: tuple[int, ...], checkpoint: Path | None, link: WorkerLink) -> None:
    """Be a worker that sends figures as fast as it can."""
    link.send(ev.Phase(phase="train"))
    started = time.perf_counter()
    for step in range(1, EVENTS + 1):
        link.send(ev.Metrics(step=step, epoch=0.0, values={"loss": 1.0, "learning_rate": 1e-4}))
    link.send(ev.Log(text=f"{time.perf_counter() - started}"))
    link.send(ev.Ended(state="finished", reason="sent"))


def whole_path() -> dict[str, float]:
    """Measure worker -> pipe -> supervisor -> file -> reader, in events a second."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["FTUI_HOME"] = str(root / "home")
        os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        folder = launch(_spec(root), worker="benchmarks.bench_runs:flood")
        reader = RunReader(folder)
        first = None
        while True:
            reader.poll()
            steps = len(reader.history.series("loss").x)
            if steps and first is None:
                first = (time.perf_counter(), steps)
            if steps == EVENTS:
                break
            time.sleep(0.005)
        assert first is not None
        rate = (EVENTS - first[1]) / (time.perf_counter() - first[0])
        while summary_of(folder).is_live:
            time.sleep(0.05)
        reader.catch_up()
        sending = float(reader.history.log[-2][1])
    return {"events/s, worker to reader": rate, "send() in the worker, us": sending / EVENTS * 1e6}


def open_long_run() -> dict[str, float]:
    """Measure the seconds from a run's file to its whole history, for 100,000 events."""
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        journal = Journal(folder)
        for step in range(1, HISTORY + 1):
            values = {"loss": 1.0, "grad_norm": 0.5, "learning_rate": 1e-4, "tokens": step * 512.0}
            journal.write(ev.Metrics(step=step, epoch=0.0, values=dict(values)))
        journal.close()
        size = folder.events_file.stat().st_size
        started = time.perf_counter()
        history = RunReader(folder).catch_up()
        seconds = time.perf_counter() - started
        assert len(history.series("loss").x) == HISTORY
    return {"open 100,000 events, s": seconds, "size of that file, MB": size / 1e6}


def _spec(root: Path) -> RunSpec:
    model = root / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\0")
    data = root / "data.jsonl"
    data.write_text("".join(json.dumps({"text": f"row {n}"}) + "\n" for n in range(30)))
    return build_spec(
        {
            "name": "bench",
            "model": {"name_or_path": str(model)},
            "data": {"train": str(data)},
            "hardware": {"gpus": "none"},
        }
    )
