"""Run the worker's main path in this process, over real pipes, and keep what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BitsAndBytesConfig

from tests.tiny_model import chat_rows, write_rows
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory
from tui_ft.runs.journal import Journal
from tui_ft.runs.link import WorkerLink
from tui_ft.spec import RunSpec, build_spec, dump_spec
from tui_ft.train import objectives, worker
from tui_ft.train.model import load_model, load_tokenizer
from tui_ft.train.objectives.common import Job, Objective
from tui_ft.train.precision import Precision
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.dataset import prepare_data

OnEvent = Callable[[ev.Event, "Tell"], None]


@dataclass(slots=True)
class Ran:
    """A run that the worker brought to its end.

    Attributes:
        trainer: the trainer that it was trained with, when the worker got so far.
    """

    folder: RunFolder
    events: list[ev.Event] = field(default_factory=list)
    trainer: Any = None

    @property
    def ended(self) -> ev.Ended:
        """The worker's last word."""
        last = self.events[-1]
        assert isinstance(last, ev.Ended), last
        return last

    @property
    def history(self) -> RunHistory:
        """All attempts together, as a reader sees them."""
        journal = Journal(self.folder)
        journal.close()
        return journal.history

    @property
    def losses(self) -> list[float | None]:
        """The training loss of each step."""
        return self.history.series("loss").y

    def of(self, kind: type[ev.Event]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def make_spec(folder: Path, model_dir: Path, **groups: Mapping[str, Any]) -> RunSpec:
    """Return a run of the tiny model, 20 steps on 200 rows in float32 unless told otherwise."""
    data = folder / "rows.jsonl"
    if not data.exists():
        write_rows(data, chat_rows(200))
    values: dict[str, dict[str, Any]] = {
        "model": {"name_or_path": str(model_dir)},
        "data": {"train": str(data), "eval_fraction": 0.1},
        "method": {"kind": "full"},
        "training": {
            "learning_rate": 5e-3,
            "max_steps": 20,
            "per_device_train_batch_size": 8,
            "max_length": 64,
            "precision": "fp32",
            "gradient_checkpointing": False,
            "eval_steps": 10,
            "save_steps": 10,
            "lr_scheduler_type": "constant",
            "warmup_steps": 0,
        },
        "evaluation": {"samples": 0},
        "hardware": {"gpus": "none", "cpu_threads": 1},
    }
    for name, group in groups.items():
        values[name] = {**values.get(name, {}), **group} if name != "method" else dict(group)
    return build_spec(values)


def run_worker(
    spec: RunSpec, path: Path, *, resume: bool = False, on_event: OnEvent | None = None
) -> Ran:
    """Run the worker to its end.

    ``on_event`` may send commands as events come in; the worker goes on once it has heard them, so
    that no test depends on how many steps it takes meanwhile.
    """
    folder = RunFolder(path)
    path.mkdir(exist_ok=True)
    folder.spec_file.write_text(dump_spec(spec))
    checkpoints = folder.checkpoints() if resume else []
    step, checkpoint = checkpoints[-1] if checkpoints else (0, None)
    journal = Journal(folder)
    number = 2 if resume else 1
    journal.write(ev.Attempt(number=number, host="test", user="test", pid=0, step=step))
    events_here, events_there = multiprocessing.Pipe(duplex=False)
    commands_there, commands_here = multiprocessing.Pipe(duplex=False)
    ran = Ran(folder)
    link = _WaitingLink(events_there, commands_there)
    tell = Tell(commands_here, link)

    def listen() -> None:
        while True:
            try:
                event = ev.decode(events_here.recv_bytes())
            except EOFError:
                return
            assert event is not None
            ran.events.append(event)
            journal.write(event)
            if on_event is not None:
                on_event(event, tell)
                link.heard.release()

    listener = threading.Thread(target=listen)
    link.listener = None if on_event is None else listener
    listener.start()
    with keeping_the_trainer(ran):
        worker.main(path, (), checkpoint, link)
    link.close()
    listener.join(120)
    assert not listener.is_alive()
    journal.close()
    commands_here.close()
    return ran


class _WaitingLink(WorkerLink):
    """A link whose sender waits until what it said has been heard, where somebody may answer."""

    def __init__(self, events: Connection, commands: Connection) -> None:
        self.heard = threading.Semaphore(0)
        self.listener: threading.Thread | None = None
        super().__init__(events, commands)

    def send(self, event: ev.Event) -> None:
        super().send(event)
        while self.listener is not None and self.listener.is_alive():
            if self.heard.acquire(timeout=0.1):
                return


class Tell:
    """Sends commands to a worker, and returns when it has heard them."""

    def __init__(self, commands: Connection, link: WorkerLink) -> None:
        self._commands, self._link = commands, link

    def __call__(self, command: str) -> None:
        self._commands.send(command)
        heard = self._link._stop if command == "stop" else self._link._checkpoint
        assert heard.wait(120)

    def hang_up(self) -> None:
        """Go, as a supervisor that is killed."""
        self._commands.close()
        assert self._link._stop.wait(120)


@contextlib.contextmanager
def keeping_the_trainer(ran: Ran) -> Iterator[None]:
    """Put the trainer of the run that goes on meanwhile into ``ran``."""
    real = objectives.objective_of

    def keeping(kind: str) -> Objective:
        objective = real(kind)

        def build(job: Job) -> Any:
            ran.trainer = objective.build(job)
            return ran.trainer

        return dataclasses.replace(objective, build=build)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "objective_of", keeping)
        yield


def make_trainer(spec: RunSpec, folder: Path) -> Any:
    """Return the trainer that the worker would train, on the CPU in float32."""
    tokenizer = load_tokenizer(spec)
    precision = Precision("fp32", torch.float32)
    data = prepare_data(
        spec, TransformersChatTokenizer(tokenizer), folder / "cache", 2, lambda _: None
    )
    objective = objectives.objective_of(spec.objective.kind)
    classes = objective.classes(data) if objective.classes else None

    def load() -> Any:
        return load_model(spec, precision, False, classes)

    return objective.build(
        Job(
            spec=spec,
            model=load(),
            tokenizer=tokenizer,
            data=data,
            precision=precision,
            checkpoints=folder / "checkpoints",
            on_gpu=False,
            note=lambda _: None,
            load_again=load,
        )
    )


def in_4_bits() -> BitsAndBytesConfig:
    """Return how qlora holds a base, for loading it beside what was trained."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["score", "lm_head"],
    )
