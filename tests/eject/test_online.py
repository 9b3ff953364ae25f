"""Scripts of runs in which the model answers give the rewards and losses that ftui gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from transformers import GenerationConfig

from tests.eject.test_script import run_script
from tests.tiny_model import chat_rows, write_rows
from tests.train.ppo.answering import make_answering_llama
from tests.train.running import make_spec, run_worker
from tui_ft.eject import eject

COLOUR: Final = {"kind": "regex", "pattern": "green|blue|black", "name": "colour"}
PYTHON: Final = """
def counted(completions, column, **_):
    return [len(one[0]["content"]) / len(word) / 50 for one, word in zip(completions, column)]
"""
PREFIX: Final = {"kind": "prefix_tuning", "num_virtual_tokens": 4}
LORA: Final = {"kind": "lora", "r": 8, "lora_alpha": 16}
RUNS: Final[dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]] = {
    # two epochs, the second in an order of its own; keys of a prefix stand before the padding
    "grpo": ({"kind": "grpo", "num_iterations": 2}, PREFIX, {"num_train_epochs": 2}),
    "ppo": (
        {
            "kind": "ppo",
            "num_ppo_epochs": 2,
            "num_mini_batches": 1,
            "target_kl": 0.1,
            "horizon": 100,
        },
        LORA,
        {"max_steps": 4, "gradient_accumulation_steps": 1},
    ),
    "rloo": ({"kind": "rloo", "beta": 0.02}, {"kind": "full"}, {"max_steps": 4}),
}


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """Return a model that answers, whose publisher would have the likeliest token alone."""
    model = make_answering_llama(tmp_path_factory.mktemp("answering"), tiny_llama)
    own = GenerationConfig.from_pretrained(model, do_sample=True, min_p=1.0)
    own.save_pretrained(model)
    return model


@pytest.mark.parametrize("name", RUNS)
def test_the_script_gives_the_same_rewards_and_losses(
    tmp_path: Path, answering: Path, name: str
) -> None:
    objective, method, training = RUNS[name]
    code = tmp_path / "own.py"
    code.write_text(PYTHON)
    rewards = [
        COLOUR,
        {"kind": "exact_match", "weight": 2.0},
        {"kind": "length", "most": 10, "margin": 5, "weight": 0.5},
        {"kind": "python", "file": str(code), "function": "counted", "allow_code": True},
    ]
    rows = [{**row, "column": "x" * (1 + n % 3)} for n, row in enumerate(chat_rows(10))]
    for number, row in enumerate(rows):  # of several lengths: what is shorter is padded
        row["messages"][0]["content"] += " Say it." * (number % 3)  # type: ignore[index]
    write_rows(tmp_path / "rows.jsonl", rows)
    asked = {"max_completion_length": 16, "rewards": rewards, **objective}
    if name != "ppo":
        asked["num_generations"] = 4
    steps = {"learning_rate": 5e-3, "per_device_train_batch_size": 8, "eval_steps": 0.5,
             "gradient_accumulation_steps": 2, "save_steps": 0.5, **training}  # fmt: skip
    if "num_train_epochs" in training:
        steps["max_steps"] = None
    data = {"eval_fraction": 0.2}
    spec = make_spec(tmp_path, answering, objective=asked, method=method, training=steps, data=data)
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    eject(spec, "script", tmp_path / "script")
    logged = run_script(tmp_path / "script", alone=False)
    history = ran.history
    for figure in ("loss", "reward", "rewards/colour/mean", "rewards/python/mean", "kl", "kl_coef"):
        if figure not in history.metrics:
            continue
        found = [entry[figure] for entry in logged if figure in entry]
        known = [value for value in history.metrics[figure].y if value is not None]
        assert found == pytest.approx(known, abs=1e-4), figure
    evaluated = [entry["eval_reward"] for entry in logged if "eval_reward" in entry]
    assert evaluated == pytest.approx(history.evaluations["eval_reward"].y, abs=1e-4)
    assert len(evaluated) == 2
    assert 0 < evaluated[0] < 4
