"""Every objective and method on the tiny models: how the loss and the held-out figures move.

`python -m benchmarks.bench_objectives` prints a table in Markdown. The runs are those of the tests,
20 steps of 8 rows on one thread (100 of 16 for the encoder), and say that everything learns, not
how well it does on a real model.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from tests.tiny_model import make_tiny_bert, make_tiny_llama
from tests.train import test_ewc, test_more_methods, test_objectives, test_peft_methods
from tests.train.running import Ran, run_worker


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        llama, bert = make_tiny_llama(root / "llama"), make_tiny_bert(root / "bert")
        print("| cell | trained | first loss | last loss | held-out figure | CPU s |")
        print("|---|---|---|---|---|---|")
        for number, (title, cell) in enumerate(test_objectives.CELLS.items()):
            model = bert if cell.encoder else llama
            _row(title, lambda f, c=cell, m=model: test_objectives._train(c, f, m).ran,
                 root / f"o{number}", cell.figure[0] if cell.figure else "loss")  # fmt: skip
        for number, (title, method) in enumerate(test_more_methods.CELLS.items()):
            _row(f"sft {title}", lambda f, c=method: test_more_methods._run(c, f, llama),
                 root / f"m{number}", "loss")  # fmt: skip
        for number, title in enumerate(test_peft_methods.CELLS):
            _row(f"sft {title.lower()} (peft)", lambda f, t=title: _passed_on(t, f, llama),
                 root / f"p{number}", "loss")  # fmt: skip
        for number, strength in enumerate((None, 10.0, 1000.0)):
            title = "full" if strength is None else f"full, ewc {strength:g}"
            _row(f"sft {title}, 8 steps", lambda f, s=strength: _held(s, f, llama),
                 root / f"e{number}", "loss")  # fmt: skip


def _passed_on(name: str, folder: Path, model: Path) -> Ran:
    steps = {"max_steps": 20, "eval_steps": 10, "save_steps": 10}
    spec = test_peft_methods._spec(folder, model, name, training=steps)
    return run_worker(spec, folder / "run")


def _held(strength: float | None, folder: Path, model: Path) -> Ran:
    return run_worker(test_ewc._spec(folder, model, strength), folder / "run")


def _row(title: str, run: Any, folder: Path, figure: str) -> None:  # noqa: ANN401
    folder.mkdir()
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ran: Ran = run(folder)
    seconds = time.process_time() - began
    losses = [loss for loss in ran.losses if loss is not None]
    last = sum(losses[-3:]) / 3
    plan = ran.history.plan
    trained = f"{plan.trainable_parameters:,} of {plan.total_parameters:,}" if plan else "?"
    held_out = ran.history.evaluations[f"eval_{figure}"].y
    shown = f"{figure} {held_out[0]:.3f} → {held_out[-1]:.3f}"
    print(f"| {title} | {trained} | {losses[0]:.3f} | {last:.3f} | {shown} | {seconds:.1f} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
