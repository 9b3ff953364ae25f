"""What ftui's callback costs a training step, against the same trainer without it, in one run."""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import SoundnessTrainer

_STEPS = 200
_ROUNDS = 7

Make = Callable[[Path], "SoundnessTrainer"]


def overhead() -> dict[str, float]:
    """Measure the median step time of a tiny Llama's SFT, with and without the callback.

    The rounds alternate, so that a machine that gets slower does so for both. The steps of so small
    a model take milliseconds: on a real one the same microseconds are a far smaller share.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make = _trainer_maker(root)
        plain, ours = [], []
        _step_seconds(make(root / "warm-up"), with_callback=False)
        for number in range(_ROUNDS):
            plain.append(_step_seconds(make(root / f"plain-{number}"), with_callback=False))
            ours.append(_step_seconds(make(root / f"ours-{number}"), with_callback=True))
    without, with_it = statistics.median(plain), statistics.median(ours)
    return {
        "step without the callback, ms": without * 1e3,
        "step with the callback, ms": with_it * 1e3,
        "difference, us a step": (with_it - without) * 1e6,
        "ratio": with_it / without,
    }


def _trainer_maker(root: Path) -> Make:
    import datasets
    import torch
    import transformers
    from transformers import AutoTokenizer

    from tests.tiny_model import chat_rows, make_tiny_llama, write_rows
    from tui_ft.spec import build_spec
    from tui_ft.train.model import load_model
    from tui_ft.train.objectives.common import Job
    from tui_ft.train.objectives.sft import build_trainer
    from tui_ft.train.precision import Precision
    from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
    from tui_ft.train.rows.dataset import prepare_data

    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    model = make_tiny_llama(root / "model")
    data_file = write_rows(root / "rows.jsonl", chat_rows(1_000))
    spec = build_spec(
        {
            "model": {"name_or_path": str(model)},
            "data": {"train": str(data_file), "eval_fraction": 0},
            "method": {"kind": "full"},
            "training": {
                "max_steps": _STEPS,
                "per_device_train_batch_size": 8,
                "max_length": 64,
                "precision": "fp32",
                "gradient_checkpointing": False,
                "save_steps": None,
                "eval_steps": None,
            },
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    precision = Precision("fp32", torch.float32)
    data = prepare_data(
        spec, TransformersChatTokenizer(tokenizer), root / "cache", 0, lambda _: None
    )

    def load() -> Any:  # noqa: ANN401
        return load_model(spec, precision, on_gpu=False)

    def make(checkpoints: Path) -> SoundnessTrainer:
        return build_trainer(
            Job(
                spec=spec,
                model=load(),
                tokenizer=tokenizer,
                data=data,
                precision=precision,
                checkpoints=checkpoints,
                on_gpu=False,
                note=lambda _: None,
                load_again=load,
            )
        )

    return make


def _step_seconds(trainer: SoundnessTrainer, *, with_callback: bool) -> float:
    """Return the seconds of a step, over all steps after the first ten."""
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTTrainer

    from tui_ft.runs.link import WorkerLink
    from tui_ft.train.callback import RunCallback

    marks: list[float] = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    trainer.remove_callback(PrinterCallback)
    if with_callback:
        events_here, events_there = multiprocessing.Pipe(duplex=False)
        commands_there, commands_here = multiprocessing.Pipe(duplex=False)
        drain = threading.Thread(target=_drain, args=(events_here,), daemon=True)
        drain.start()
        link = WorkerLink(events_there, commands_there)
        trainer.add_callback(RunCallback(link, trainer.was_sound, lambda _: None))
        trainer.add_callback(Watch())
        trainer.train()
        link.close()
        commands_here.close()
    else:
        trainer.__class__ = SFTTrainer  # trl's own step, without our look at the loss
        trainer.add_callback(Watch())
        trainer.train()
    return statistics.median(after - before for before, after in itertools.pairwise(marks[10:]))


def _drain(events: Connection) -> None:
    while True:
        try:
            events.recv_bytes()
        except (EOFError, OSError):
            return
