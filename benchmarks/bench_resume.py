"""How near a resumed run comes to one that was never stopped, and the ladder to one begun smaller.

`python -m benchmarks.bench_resume` prints two tables in Markdown. The runs are real, of the tiny
model of the tests; those of the ladder run out of memory by a limit of the kernel's (RLIMIT_DATA).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.tiny_model import chat_rows, make_tiny_llama, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tests.train.small_memory import ALLOWED, LIMIT_AT
from tui_ft import paths, text
from tui_ft.runs import events as ev
from tui_ft.runs.ladder import rungs_of
from tui_ft.runs.launch import launch
from tui_ft.runs.reader import RunReader, read_events
from tui_ft.runs.registry import summary_of
from tui_ft.spec.ladder import climbed

_STEPS: Final = 20
_DROPOUT: Final = {"kind": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.1}
_CASES: Final[Mapping[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "full": ({"kind": "full"}, {}),
    "LoRA with dropout": (_DROPOUT, {}),
    "QLoRA": ({"kind": "qlora", "r": 8}, {}),
    "full, packed": ({"kind": "full"}, {"packing": True}),
    "full, rows of a length together": (
        {"kind": "full"},
        {"train_sampling_strategy": "group_by_length", "max_steps": 30},
    ),
    "full, NEFTune": ({"kind": "full"}, {"neftune_noise_alpha": 5.0}),
    "full, 8-bit AdamW": ({"kind": "full"}, {"optim": "adamw_8bit"}),
    "full, cosine, 2 passes a step": (
        {"kind": "full"},
        {"lr_scheduler_type": "cosine", "gradient_accumulation_steps": 2},
    ),
}


def main() -> int:
    """Print both tables."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = make_tiny_llama(root / "model")
        print("| run | stopped after step | largest difference of a loss | of the last loss |")
        print("|---|---|---|---|")
        for number, (title, (method, training)) in enumerate(_CASES.items()):
            folder = root / f"case-{number}"
            folder.mkdir()
            _resume_row(title, folder, model, method, training)
        print()
        _ladder(root / "ladder", model)
    return 0


def _quietly(work: Callable[[], Ran]) -> Ran:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return work()


def _resume_row(
    title: str, folder: Path, model: Path, method: dict[str, Any], training: dict[str, Any]
) -> None:
    spec = make_spec(folder, model, method=method, training={"max_steps": _STEPS, **training})

    def stop(event: ev.Event, send: Callable[[str], None]) -> None:
        if isinstance(event, ev.Metrics) and event.step == 7:
            send("stop")

    whole = _quietly(lambda: run_worker(spec, folder / "whole"))
    stopped = _quietly(lambda: run_worker(spec, folder / "halves", on_event=stop))
    at = stopped.folder.checkpoints()[-1][0]
    resumed = _quietly(lambda: run_worker(spec, folder / "halves", resume=True))
    worst, last = _difference(whole.losses, resumed.losses)
    print(f"| {title} | {at} of {len(whole.losses)} | {worst:.1e} | {last:.1e} |")
    sys.stdout.flush()


def _difference(one: list[float | None], other: list[float | None]) -> tuple[float, float]:
    """Return the largest difference of two curves, and that of their ends."""
    found = [abs((a or 0.0) - (b or 0.0)) for a, b in zip(one, other, strict=True)]
    return max(found), found[-1]


def _ladder(folder: Path, model: Path) -> None:
    """Let a run of 256 rows a pass run out of memory after its third step."""
    folder.mkdir()
    os.environ |= {
        "FTUI_HOME": str(folder / "home"),
        "MALLOC_MMAP_THRESHOLD_": "65536",
        LIMIT_AT: "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    paths.make_private_dir(folder / "home")
    write_rows(folder / "rows.jsonl", chat_rows(600))
    training: dict[str, Any] = {"max_steps": 6, "eval_steps": None, "save_steps": 2}
    training |= {"per_device_train_batch_size": 256, "on_out_of_memory": {}}
    one_thread = {"gpus": "none", "cpu_threads": 1}
    spec = make_spec(folder, model, training=training, hardware=one_thread)
    run = launch(spec, worker="tests.train.small_memory:main")
    while summary_of(run).is_live:
        time.sleep(0.2)
    history = RunReader(run).catch_up()
    plan = history.plan
    print(f"The ladder, {text.size(ALLOWED)} allowed beside the model: {summary_of(run).reason}\n")
    print("| attempt | from step | settings | how memory ran out |")
    print("|---|---|---|---|")
    attempts = [event for event in read_events(run) if isinstance(event, ev.Attempt)]
    rungs = [event for event in read_events(run) if isinstance(event, ev.Rung)]
    settings = ["micro-batch 256, accumulation 1", *(rung.words for rung in rungs)]
    reasons = [*(rung.reason for rung in rungs), ""]
    for attempt, words, reason in zip(attempts, settings, reasons, strict=True):
        print(f"| {attempt.number} | {attempt.step} | {words} | {reason} |")
    smaller = climbed(spec, rungs_of(run))
    begun_so = _quietly(lambda: run_worker(smaller, folder / "begun-so"))
    worst, _ = _difference(history.series("loss").y, begun_so.losses)
    same = history.series("tokens").y == begun_so.history.series("tokens").y
    rows = plan.effective_batch_size if plan else "?"
    print(
        f"\nRows in a step of the optimizer: {rows}. Largest difference of a loss to a run begun "
        f"with the last settings: {worst:.1e}; tokens at each step the same: {same}."
    )


if __name__ == "__main__":
    sys.exit(main())
