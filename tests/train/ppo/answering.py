"""A tiny Llama that answers, for PPO to go on from, and runs of PPO on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.train.running import make_spec, run_worker
from tui_ft.spec import RunSpec

COLOUR = {"kind": "regex", "pattern": "is (red|blue)"}
"""What about a quarter of its answers have."""
LORA = {"kind": "lora", "r": 8, "lora_alpha": 16, "target_modules": "all-linear"}


def make_answering_llama(folder: Path, tiny_llama: Path, steps: int = 60) -> Path:
    """Teach the tiny Llama to answer in `folder`, so that its answers are worth something.

    After 60 steps it draws colours, of which its head hardly tells one from the other; after 300
    it does.
    """
    spec = make_spec(
        folder,
        tiny_llama,
        training={
            "max_steps": steps,
            "per_device_train_batch_size": 16,
            "eval_steps": None,
            "save_steps": None,
        },
        hardware={"cpu_threads": 1},
    )
    ran = run_worker(spec, folder / "answers")
    assert ran.ended.state == "finished", ran.ended
    return ran.folder.path / "model"


def ppo_spec(folder: Path, model: Path, **groups: Any) -> RunSpec:
    """Return a run of PPO that learns to say red or blue, 16 answers a pass."""
    objective = {
        "kind": "ppo",
        "rewards": [COLOUR],
        "max_completion_length": 16,
        "num_ppo_epochs": 2,
        "init_kl_coef": 0.02,
        **groups.pop("objective", {}),
    }
    training = {
        "learning_rate": 2e-3,
        "per_device_train_batch_size": 16,
        "eval_steps": None,
        "save_steps": None,
        **groups.pop("training", {}),
    }
    return make_spec(
        folder,
        model,
        objective=objective,
        training=training,
        **{"method": LORA, "hardware": {"cpu_threads": 1}, **groups},
    )
