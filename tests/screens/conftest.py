"""Runs with a fixed past, a fixed clock and fixed hardware: a screen looks the same always."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tui_ft import paths
from tui_ft.app import FtuiApp
from tui_ft.chains.folder import ChainFolder
from tui_ft.chains.folder import create as create_chain
from tui_ft.chains.journal import Attended, Started
from tui_ft.chains.journal import Journal as ChainJournal
from tui_ft.hardware import Gpu, GpuProcess, Host, Snapshot
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder, create
from tui_ft.runs.journal import Journal
from tui_ft.runs.place import Place
from tui_ft.runs.registry import placed, summarise
from tui_ft.spec import RunSpec, build_spec
from tui_ft.spec.chain import Chain, Stage

START = 1_795_000_000.0
NOW = START + 3_600
STEPS = 400
GB = 1_000_000_000
GIB = 1 << 30


@dataclass
class FixedHardware:
    """Two cards that never change."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def stale_for(self) -> float:
        return 0.5

    def latest(self) -> Snapshot:
        return Snapshot(
            time=NOW,
            host=Host(
                hostname="gpu01",
                cpu_count=64,
                cpu_utilization=0.12,
                memory_total_bytes=128 * GIB,
                memory_used_bytes=41 * GIB,
                memory_available_bytes=87 * GIB,
                disk_total_bytes=2_000 * GB,
                disk_free_bytes=1_200 * GB,
            ),
            gpus=(_card(0, 61.2, 0.98, 412.0, 64.0), _card(1, 0.4, 0.0, 71.0, 34.0)),
            driver_version="580.65",
        )


def _card(index: int, used: float, busy: float, watts: float, degrees: float) -> Gpu:
    holders = (GpuProcess(4242, "anna", int(used * GIB), "python"),) if busy else ()
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name="NVIDIA H100 80GB HBM3",
        memory_total_bytes=80 * GIB,
        memory_used_bytes=int(used * GIB),
        memory_free_bytes=int((80 - used) * GIB),
        utilization=busy,
        power_w=watts,
        power_limit_w=700.0,
        temperature_c=degrees,
        sm_clock_mhz=1980,
        throttle_reasons=(),
        processes=holders,
    )


MakeRun = Callable[..., RunFolder]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FTUI_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # the GPUs are made up
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield tmp_path / "home"
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def make_run(home: Path) -> MakeRun:
    """Return a function that writes a run: its events, and a supervisor's status."""

    def make(
        name: str,
        *events: ev.Event,
        steps: int = 0,
        started: float = START,
        live: bool = False,
        gpus: tuple[int, ...] = (),
        host: str = "gpu01",
        place: Place | None = None,
    ) -> RunFolder:
        folder = create(_spec(name), place)
        journal = Journal(folder)
        journal.write(ev.Attempt(t=started, number=1, host=host, user="anna", pid=1))
        for event in (*training(steps, started), *events):
            journal.write(event)
        journal.close()
        heartbeat = time.time() + 86_400 if live else 0.0
        status = msgspec.structs.replace(
            placed(folder, summarise(folder.id, journal.history)), heartbeat=heartbeat, gpus=gpus
        )
        paths.write_atomically(folder.status_file, msgspec.json.encode(status))
        return folder

    return make


def _spec(name: str) -> RunSpec:
    return build_spec(
        {
            "name": name,
            "model": {"name_or_path": "/models/llama"},
            "data": {"train": "/data/s.jsonl"},
        }
    )


def training(steps: int, started: float) -> list[ev.Event]:
    """Return the events of a run that has come so far: a falling loss, and all its company."""
    if not steps:
        return []
    made: list[ev.Event] = [
        ev.Plan(
            t=started + 20,
            total_steps=STEPS,
            num_train_epochs=3.0,
            train_rows=17_990,
            eval_rows=512,
            train_tokens=4_100_000,
            supervised_tokens=1_900_000,
            effective_batch_size=16,
            trainable_parameters=41_900_000,
            total_parameters=8_070_000_000,
            device="NVIDIA H100 80GB HBM3",
            precision="bf16",
            method="qlora",
        ),
        ev.Phase(t=started + 21, phase="train", text="trains"),
    ]
    for step in range(1, steps + 1):
        made += _at_step(step, started + 30 + step * 8)
    return made


def _at_step(step: int, t: float) -> list[ev.Event]:
    loss = 0.8 + 1.1 * math.exp(-step / 40) + 0.05 * math.sin(step * 1.7)
    epoch = step * 3 / STEPS
    values = {
        "loss": loss,
        "learning_rate": 2e-4 * (1 - step / STEPS),
        "grad_norm": 0.4 + 0.1 * math.sin(step),
        "tokens": step * 4_096.0,
        "tokens_per_second": 11_400.0 + 300 * math.cos(step),
    }
    events: list[ev.Event] = [ev.Metrics(t=t, step=step, epoch=epoch, values=dict(values))]
    if step % 50 == 0:
        worse = max(0, step - 200) / 500
        events += [
            ev.Evaluation(t=t, step=step, epoch=epoch, values={"eval_loss": loss + 0.05 + worse}),
            ev.Sample(
                t=t,
                step=step,
                row=7,
                prompt="My export fails with error 17",
                answer="Error 17 means the file is larger than your plan allows.",
                reference="Error 17: the file is too large.",
            ),
            ev.Checkpoint(t=t, step=step, path=f"checkpoints/checkpoint-{step}", bytes=164_000_000,
                          seconds=1.2, best=step == 200),
        ]  # fmt: skip
    progress = ev.Progress(t=t, step=step, total_steps=STEPS, epoch=epoch, eta_s=(STEPS - step) * 8)
    return [*events, progress, _telemetry(t)]


def _telemetry(t: float) -> ev.Telemetry:
    card = ev.GpuReading(
        index=0,
        uuid="GPU-0",
        name="NVIDIA H100 80GB HBM3",
        memory_used=int(9.4 * GIB),
        memory_total=80 * GIB,
        utilization=0.98,
        power_w=412.0,
        power_limit_w=700.0,
        temperature_c=64.0,
        sm_clock_mhz=1980,
        throttling=(),
    )
    return ev.Telemetry(
        t=t,
        gpus=(card,),
        cpu_utilization=0.12,
        memory_used=41 * GIB,
        memory_total=128 * GIB,
        disk_free=1_200 * GB,
    )


@pytest.fixture
def three_stages(make_run: MakeRun) -> ChainFolder:
    """Return a chain on another host that is at its second stage, beside a run that stands alone.

    Its heart beats for as long as tests run.
    """
    names = ("sft", "reward", "rloo")
    chain = create_chain(Chain("rlhf", tuple(Stage(name, _spec(f"rlhf-{name}")) for name in names)))
    begun = START - 10_000
    journal = ChainJournal(chain)
    journal.write(Attended(t=begun, host="gpu01", user="anna", pid=1))
    for number, name in enumerate(names[:2], 1):
        journal.write(Started(t=begun + number, stage=name, run=f"rlhf-{name}"))
    journal.close()
    chain.lock_file.touch()
    tomorrow = time.time() + 86_400
    os.utime(chain.lock_file, (tomorrow, tomorrow))
    sft, reward = (
        Place(chain=chain.id, stage=name, number=number, of=3)
        for number, name in enumerate(names[:2], 1)
    )
    make_run("rlhf-sft", FINISHED, steps=400, started=begun + 1, place=sft)
    make_run("rlhf-reward", steps=120, live=True, gpus=(0,), place=reward)
    make_run("demo-json", FINISHED, steps=400, started=START - 90_000)
    return chain


def make_app(run_id: str | None = None) -> FtuiApp:
    """Return the app with everything around it fixed."""
    return FtuiApp(run_id, hardware=FixedHardware(), clock=lambda: NOW)


OVERFITTING = ev.Alert(
    t=START + 3_000,
    severity="warning",
    kind="overfitting",
    text="evaluation loss rises (now 1.06) while training loss falls: overfitting",
    advice="stop now and keep the best checkpoint, or train fewer epochs",
)
FAILED = ev.Ended(
    t=START + 900,
    state="failed",
    reason="the GPU ran out of memory at batch 8 x 4096 tokens, full, checkpointing off",
    advice=("training.gradient_checkpointing: true", "method.kind: lora"),
)
FINISHED = ev.Ended(t=START + 3_300, state="finished", reason="all 400 steps done")
SCORES = (
    ev.Score(t=START + 25, when="before", rows=64, values={"exact_match": 0.0}),
    ev.Score(
        t=START + 3_290,
        when="after",
        rows=64,
        values={"exact_match": 0.875},
        examples=(
            ev.Example("turn on the light", '{"action":"on"}', '{"action":"on"}', True),
            ev.Example("what time is it", "half past", '{"action":"time"}', False),
        ),
    ),
)


def _row(number: int) -> dict[str, str]:
    answer = f"Answer {number}: " + " ".join(f"w{number}x{n}" for n in range(5 + number % 40)) + "."
    return {"instruction": f"What is number {number}?", "output": answer}


@pytest.fixture
def data(home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a file in the current folder: 300 rows, a few of them at fault."""
    rows = [_row(n) for n in range(300)]
    rows[7] = rows[3]
    rows[9] = {**rows[9], "output": ""}
    rows[11] = {**rows[11], "output": "\x1b[31mred [bold]tag[/bold]\x07 and so on it goes."}
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "rows.jsonl"
