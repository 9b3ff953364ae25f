"""GRPO in Axolotl: a YAML, rows as trl takes them, and a module with the rewards."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tiny_model import chat_rows, write_rows
from tests.train.rewards.asking import ask
from tests.train.running import make_spec
from tui_ft.eject import EjectError, eject
from tui_ft.spec import RunSpec

COLOUR: dict[str, Any] = {"kind": "regex", "pattern": "green|blue", "name": "colour"}
MATCH: dict[str, Any] = {"kind": "exact_match", "weight": 2.0}
JSON: dict[str, Any] = {"kind": "json", "json_schema": {"type": "object"}}


def grpo(folder: Path, model: Path, rewards: list[dict[str, Any]], **objective: Any) -> RunSpec:
    write_rows(folder / "rows.jsonl", [{**row, "topic": "fruit"} for row in chat_rows(30)])
    asked = {"kind": "grpo", "num_generations": 4, "max_completion_length": 16, **objective}
    return make_spec(folder, model, objective={**asked, "rewards": rewards})


def test_the_yaml_says_what_the_run_says(tmp_path: Path, tiny_llama: Path) -> None:
    rewards = [COLOUR, MATCH]
    asked = {"beta": 0.1, "num_generations_eval": 3, "steps_per_generation": 2, "delta": 2.0}
    done = eject(grpo(tmp_path, tiny_llama, rewards, **asked), "axolotl", tmp_path / "out")
    values = yaml.safe_load(done.file.read_text())
    assert values["rl"] == "grpo"
    trl = values["trl"]
    assert trl["reward_funcs"] == [
        "reward_functions.reward_colour",
        "reward_functions.reward_exact_match",
    ]
    assert (trl["reward_weights"], trl["beta"], trl["num_generations"]) == ([1.0, 2.0], 0.1, 4)
    assert (trl["generation_batch_size"], values["eval_batch_size"]) == (16, 8)
    assert values["metric_for_best_model"] == "eval_reward"
    assert values["datasets"][0]["type"] == "reward_functions.prompts"
    left_out = " ".join(done.left_out)
    assert "objective.delta" in left_out
    assert "objective.num_generations_eval" in left_out
    assert "objective.beta" not in left_out


def test_the_module_rewards_and_reads_rows_as_trl_takes_them(
    tmp_path: Path, tiny_llama: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text("def of(completions, topic, **_): return [len(word) for word in topic]\n")
    code = {"kind": "python", "file": str(own), "function": "of", "allow_code": True}
    spec = grpo(tmp_path, tiny_llama, [COLOUR, MATCH, JSON, code])
    done = eject(spec, "axolotl", tmp_path / "out")
    module = runpy.run_path(str(tmp_path / "out" / "reward_functions.py"))
    said = ["It is green.", "{}"]
    functions = [
        module[name.rpartition(".")[2]]
        for name in yaml.safe_load(done.file.read_text())["trl"]["reward_funcs"]
    ]
    given = [ask(one, said, "{}", topic=["fig", "apple"]) for one in functions]
    assert given == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [3, 5]]
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert first["prompt"][0]["content"].startswith("What colour is the ")
    assert first["reference"].startswith("The ")
    assert first["topic"] == "fruit"
    assert module["prompts"]({}, dataset_idx=0)(first) == first


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        ({"rewards": [{"kind": "reward_model", "model": "org/rm"}]}, "own reading of dialogues"),
        ({"kind": "rloo"}, "it has GRPO alone"),
        ({"kind": "ppo"}, "it has GRPO alone"),
    ],
)
def test_what_it_has_not_is_refused_with_the_reason(
    tmp_path: Path, tiny_llama: Path, objective: dict[str, Any], why: str
) -> None:
    write_rows(tmp_path / "rows.jsonl", chat_rows(30))
    asked = {"kind": "grpo", "rewards": [COLOUR], **objective}
    spec = make_spec(tmp_path, tiny_llama, objective=asked)
    with pytest.raises(EjectError, match=why) as refused:
        eject(spec, "axolotl", tmp_path / "out")
    assert "`--to script` can do it" in str(refused.value)
