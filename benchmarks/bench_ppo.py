"""PPO beside trl's RLOO: the same reward, answers, steps and seeds. Prints tables in Markdown.

`python -m benchmarks.bench_ppo` takes about ten minutes on one core; with names of parts behind it
(lora, qlora, full, targets, head, solved) it prints those alone.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import statistics
import sys
import tempfile
import time
import warnings
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
_METHODS["qlora"] = {**_METHODS["lora"], "kind": "qlora"}
_METHODS["lora, r 64"] = {**_METHODS["lora"], "r": 64, "lora_alpha": 128}
_METHODS["both layers and the norm"] = {"kind": "freeze", "num_trainable_layers": 2}
_RATES: Final = {
    "lora": 2e-3,
    "qlora": 2e-3,
    "full": 1e-3,
    "lora, r 64": 5e-4,
    "both layers and the norm": 1e-3,
}
_SFT_STEPS: Final = 300
_MANY_SEEDS: Final = tuple(range(1, 9))
_PARTS: Final = ("lora", "qlora", "full", "targets", "head", "solved")
_REWARD: Final = {"kind": "regex", "pattern": "is (red|blue)"}
# 32 answers are learned from twice, in two steps each time: four steps a rollout.
_OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "ppo": {
        "num_mini_batches": 2,
        "num_ppo_epochs": 2,
        "init_kl_coef": 0.05,
        "target_kl": 5.0,
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
_OBJECTIVES["ppo, no louder than of late"] = {**_OBJECTIVES["ppo"], "whiten_memory": 0.99}
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
    """Run all of it, or the parts that are named, and print the tables."""
    from tests.tiny_model import make_tiny_llama

    wanted = sys.argv[1:] or _PARTS
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with _quietly():
            bare = make_tiny_llama(root / "model")
            model = _answering(root, bare, _SFT_STEPS)
        for method in ("lora", "qlora", "full"):
            if method not in wanted:
                continue
            curves: dict[str, list[Curve]] = {}
            for kind in ("ppo", "rloo") if method == "qlora" else _OBJECTIVES:
                with _quietly():
                    curves[kind] = [run(root, model, kind, method, seed) for seed in _SEEDS]
            _print_method(method, curves)
        if "targets" in wanted:
            _print_targets(root, model)
        if "head" in wanted:
            _print_head(root, bare)
        if "solved" in wanted:
            _print_solved(root, bare)


def _answering(root: Path, bare: Path, steps: int) -> Path:
    from tests.train.ppo.answering import make_answering_llama

    folder = root / f"after {steps} steps"
    if not folder.exists():
        folder.mkdir()
        return make_answering_llama(folder, bare, steps)
    return folder / "answers" / "model"


def _print_head(root: Path, bare: Path) -> None:
    """Show what the head, which adapters leave as it is, lets any model reach."""
    print("\n## What the head lets them reach\n")
    print("RLOO, seed 1; the mean of the last third.\n")
    print("| SFT steps | red or blue, at most | method | reward |\n|---|---|---|---|")
    for steps, methods in {
        60: ("lora", "lora, r 64", "both layers and the norm", "full"),
        100: ("lora",),
        200: ("lora",),
        300: ("lora",),
    }.items():
        with _quietly():
            model = _answering(root, bare, steps)
            most = likeliest(model, (" red", " blue"))
        for method in methods:
            with _quietly():
                rewards = run(root, model, "rloo", method, 1).rewards
            last = statistics.mean(rewards[-(len(rewards) // 3) :])
            print(f"| {steps} | {most:.2f} | {method} | {last:.2f} |", flush=True)


def _print_solved(root: Path, bare: Path) -> None:
    """Show how whitening fares when nearly all answers have the reward, and noise is left."""
    with _quietly():
        model = _answering(root, bare, 60)
    print("\n## When nearly all answers are right\n")
    print("Full fine-tuning after 60 steps of SFT, target 2 nats; KL and reward, last third.\n")
    print("| run | " + " | ".join(f"seed {seed}" for seed in _MANY_SEEDS) + " |")
    print("|---" * (len(_MANY_SEEDS) + 1) + "|")
    for kind in (name for name in _OBJECTIVES if name.startswith("ppo")):
        shown = []
        for seed in _MANY_SEEDS:
            with _quietly():
                one = run(root, model, kind, "full", seed, target_kl=2.0)
            last = len(one.kl) // 3
            kl, reward = (statistics.mean(series[-last:]) for series in (one.kl, one.rewards))
            shown.append(f"{kl:.2f}, most {max(one.kl):.1f}; {reward:.2f}")
        print(f"| {kind} | {' | '.join(shown)} |", flush=True)


def likeliest(model: Path, words: Sequence[str]) -> float:
    """Return the highest probability that any hidden state gives the first tokens of ``words``.

    A last norm leaves hidden states nothing but a direction, and the head makes of it logits: so a
    tied head of small rows bounds what layers before it can make likely. Found by gradient ascent.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = [tokenizer.encode(word, add_special_tokens=False)[0] for word in words]
    head, norm = (w.detach() for w in (loaded.lm_head.weight, loaded.model.norm.weight))
    best = 0.0
    for seed in range(6):
        torch.manual_seed(seed)
        begun = head[ids].sum(dim=0) if seed == 0 else torch.randn(len(norm))
        state = begun.clone().requires_grad_()
        optimizer = torch.optim.Adam([state], lr=0.03)
        for _ in range(800):
            direction = state / state.norm() * len(norm) ** 0.5
            found = (head @ (norm * direction)).softmax(dim=0)[ids].sum()
            optimizer.zero_grad()
            (-found.log()).backward()
            optimizer.step()
        best = max(best, float(found.detach()))
    return best


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
    for target, coef, horizon in itertools.product((2.5, 5.0), (0.02, 0.2), (50, 200)):
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
