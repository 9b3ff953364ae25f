"""Every objective and method on the tiny models: how the loss and the held-out figures move.

`python -m benchmarks.bench_objectives` prints a table in Markdown. The runs are those of the tests,
20 steps of 8 rows on one thread (100 of 16 for the encoder), and say that everything learns, not
how well it does on a real model. Those that learn from rewards go on from a model that has learned
to answer: 20 steps of 32 answers for GRPO and RLOO, 60 and 120 of 16 for PPO.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.tiny_model import make_tiny_bert, make_tiny_llama
from tests.train import test_objectives, test_online
from tests.train.methods import test_ewc, test_more_methods, test_peft_methods
from tests.train.ppo.answering import make_answering_llama, ppo_spec
from tests.train.running import Ran, run_worker
from tui_ft.spec import RunSpec


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
        _rewarded(root, llama)


def _rewarded(root: Path, llama: Path) -> None:
    """Print the table of those that answer prompts and learn from the reward."""
    with _quietly():
        answering = make_answering_llama(root, llama)
    print("\n| cell | trained | first reward | last reward | held out | CPU s |")
    print("|---|---|---|---|---|---|")
    for number, (title, cell) in enumerate(test_online.CELLS.items()):
        folder = root / f"r{number}"
        folder.mkdir()
        _reward_row(title, test_online._spec(
            folder, answering, cell.objective, method=cell.method,
            training={"learning_rate": cell.rate, "eval_steps": 10}), folder)  # fmt: skip
    for method, steps, objective in (
        ("lora", 60, {"adap_kl_ctrl": False}),
        ("full", 120, {"target_kl": 2, "horizon": 200, "init_kl_coef": 0.05}),
    ):
        folder = root / f"ppo-{method}"
        folder.mkdir()
        chosen = {"method": test_online.FULL} if method == "full" else {}
        _reward_row(f"ppo {method}", ppo_spec(
            folder, answering, objective={"num_mini_batches": 2, **objective},
            training={"max_steps": steps, "eval_steps": steps // 2}, **chosen), folder)  # fmt: skip


def _reward_row(title: str, spec: RunSpec, folder: Path) -> None:
    began = time.process_time()
    with _quietly():
        ran = run_worker(spec, folder / "run")
    seconds = time.process_time() - began
    rewards = [value for value in ran.history.series("reward").y if value is not None]
    first, last = sum(rewards[:3]) / 3, sum(rewards[-3:]) / 3
    held_out = ran.history.evaluations["eval_reward"].y
    shown = f"{held_out[0]:.3f} → {held_out[-1]:.3f}"
    print(f"| {title} | {_trained(ran)} | {first:.3f} | {last:.3f} | {shown} | {seconds:.1f} |")


def _passed_on(name: str, folder: Path, model: Path) -> Ran:
    steps = {"max_steps": 20, "eval_steps": 10, "save_steps": 10}
    spec = test_peft_methods._spec(folder, model, name, training=steps)
    return run_worker(spec, folder / "run")


def _held(strength: float | None, folder: Path, model: Path) -> Ran:
    return run_worker(test_ewc._spec(folder, model, strength), folder / "run")


def _row(title: str, run: Any, folder: Path, figure: str) -> None:  # noqa: ANN401
    folder.mkdir()
    began = time.process_time()
    with _quietly():
        ran: Ran = run(folder)
    seconds = time.process_time() - began
    losses = [loss for loss in ran.losses if loss is not None]
    last = sum(losses[-3:]) / 3
    held_out = ran.history.evaluations[f"eval_{figure}"].y
    shown = f"{figure} {held_out[0]:.3f} → {held_out[-1]:.3f}"
    print(f"| {title} | {_trained(ran)} | {losses[0]:.3f} | {last:.3f} | {shown} | {seconds:.1f} |")


def _trained(ran: Ran) -> str:
    plan = ran.history.plan
    return f"{plan.trainable_parameters:,} of {plan.total_parameters:,}" if plan else "?"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
