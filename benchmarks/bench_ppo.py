"""PPO beside trl's RLOO: the same reward, answers, steps and seeds. Prints tables in Markdown.

`python -m benchmarks.bench_ppo` takes about five minutes on one core.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_SEEDS: Final = (1, 2, 3)
_STEPS: Final = 240
_ANSWERS: Final = 32
_POINTS: Final = 12
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_METHODS: Final[dict[str, dict[str, Any]]] = {
    "lora": {"kind": "lora", "r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
    "full": {"kind": "full"},
}
_RATES: Final = {"lora": 2e-3, "full": 1e-3}
_REWARD: Final = {"kind": "regex", "pattern": "is (red|blue)"}
# 32 answers are learned from twice, in two steps each time: four steps a rollout.
_OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "ppo": {
        "num_mini_batches": 2,
        "num_ppo_epochs": 2,
        "init_kl_coef": 0.05,
        "target_kl": 2.0,
        "horizon": 200,
    },
    "rloo": {
        "num_generations": 4,
        "steps_per_generation": 2,
        "num_iterations": 2,
        "beta": 0.05,
        "disable_dropout": True,
    },
}
_OBJECTIVES["ppo, advantages not whitened"] = {**_OBJECTIVES["ppo"], "whiten_advantages": False}


@dataclass(frozen=True, slots=True)
class Curve:
    """What one run measured at each rollout, and the CPU time it took, in seconds."""

    rewards: tuple[float, ...]
    kl: tuple[float, ...]
    seconds: float


def run(root: Path, model: Path, kind: str, method: str, seed: int, **objective: Any) -> Curve:
    """Train once; return its curve. The KL is that of an answer as a whole, in nats."""
    from tests.train.running import make_spec, run_worker
    from tui_ft.runs import events as ev

    folder = Path(tempfile.mkdtemp(dir=root))
    spec = make_spec(
        folder,
        model,
        objective={
            "kind": kind.partition(",")[0],
            "rewards": [_REWARD],
            "max_completion_length": 16,
            **_OBJECTIVES[kind],
            **objective,
        },
        method=_METHODS[method],
        training={
            "learning_rate": _RATES[method],
            "max_steps": _STEPS,
            "per_device_train_batch_size": 16,
            "eval_steps": None,
            "save_steps": None,
            "seed": seed,
        },
        hardware={"cpu_threads": 1},
    )
    began = time.process_time()
    ran = run_worker(spec, folder / "run")
    seconds = time.process_time() - began
    assert ran.ended.state == "finished", ran.ended
    found = [e.values for e in ran.of(ev.Metrics) if e.values.get("reward") is not None]
    # trl's RLOO says the KL of a token.
    kl = [v.get("objective/kl", v["kl"] * v["completions/mean_length"]) for v in found]
    return Curve(tuple(v["reward"] for v in found), tuple(kl), seconds)


def main() -> None:
    """Run all of it and print the tables."""
    from tests.tiny_model import make_tiny_llama
    from tests.train.ppo.answering import make_answering_llama

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with _quietly():
            model = make_answering_llama(root, make_tiny_llama(root / "model"))
        for method in _METHODS:
            curves: dict[str, list[Curve]] = {}
            for kind in _OBJECTIVES:
                with _quietly():
                    curves[kind] = [run(root, model, kind, method, seed) for seed in _SEEDS]
            _print_method(method, curves)
        _print_targets(root, model)


def _print_method(method: str, curves: dict[str, list[Curve]]) -> None:
    rollouts = len(curves["ppo"][0].rewards)
    print(f"\n## {method}, learning rate {_RATES[method]:g}\n")
    edges = [round(n * rollouts / _POINTS) * _ANSWERS for n in range(1, _POINTS + 1)]
    print("Mean reward of the answers sampled up to there since the last column, by answers:\n")
    print("| run | " + " | ".join(map(str, edges)) + " | curve | CPU s |")
    print("|---|" + "---|" * (_POINTS + 2))
    for kind, runs in curves.items():
        for seed, one in zip(_SEEDS, runs, strict=True):
            _print_row(f"{kind}, seed {seed}", one.rewards, f"{one.seconds:.0f}")
        _print_row(f"**{kind}, mean**", _mean_of([one.rewards for one in runs]), "")
    print("\nKL of an answer from the model one began with, in nats:\n")
    print("| run | " + " | ".join(map(str, edges)) + " | last third | most |")
    print("|---|" + "---|" * (_POINTS + 2))
    for kind, runs in curves.items():
        for seed, one in zip(_SEEDS, runs, strict=True):
            shown = " | ".join(f"{value:.2f}" for value in _parts(one.kl))
            last = statistics.mean(one.kl[-(len(one.kl) // 3) :])
            print(f"| {kind}, seed {seed} | {shown} | {last:.2f} | {max(one.kl):.1f} |")
    print()


def _print_row(name: str, rewards: Sequence[float], seconds: str) -> None:
    parts = _parts(rewards)
    curve = "".join(_BLOCKS[min(7, int(value * 8))] for value in parts)
    print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in parts) + f" | {curve} | {seconds} |")


def _print_targets(root: Path, model: Path) -> None:
    print("## The KL by its target\n\nPPO, full fine-tuning, seed 1; the mean of the last third.\n")
    print("| target_kl | init_kl_coef | horizon | KL, nats | reward |\n|---|---|---|---|---|")
    for target, coef, horizon in itertools.product((0.5, 1.0, 2.0, 4.0), (0.02, 0.2), (50, 200)):
        fields = {"target_kl": target, "init_kl_coef": coef, "horizon": horizon}
        with _quietly():
            one = run(root, model, "ppo", "full", 1, **fields)
        last = len(one.kl) // 3
        kl, reward = (statistics.mean(series[-last:]) for series in (one.kl, one.rewards))
        print(f"| {target:g} | {coef:g} | {horizon} | {kl:.2f} | {reward:.2f} |")


def _parts(values: Sequence[float]) -> list[float]:
    edges = [round(n * len(values) / _POINTS) for n in range(_POINTS + 1)]
    return [statistics.mean(values[a:b]) for a, b in itertools.pairwise(edges)]


def _mean_of(series: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.mean(values) for values in zip(*series, strict=True)]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what trainers print out of the tables."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
