"""GRPO as Axolotl takes it: a table `trl` of its YAML, and the rewards as a module beside it."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.eject.reward_lines import Rewards, rewards_of
from tui_ft.eject.script import part
from tui_ft.spec import RunSpec
from tui_ft.spec.online import GrpoObjective

MODULE: Final = "reward_functions"
"""Beside the YAML: the functions, and what reads the rows."""
_SAME: Final = (
    *("num_generations", "max_completion_length", "temperature", "top_p", "top_k", "min_p"),
    *("repetition_penalty", "beta", "num_iterations", "epsilon", "epsilon_high", "loss_type"),
    *("scale_rewards", "importance_sampling_level", "multi_objective_aggregation"),
    *("mask_truncated_completions", "entropy_coef", "use_bias_correction_kl"),
)
"""Fields that have the same name and meaning there (`axolotl/utils/schemas/trl.py`)."""
_HAS_NOT: Final = ("delta", "top_entropy_quantile", "disable_dropout", "num_generations_eval")


def grpo_values(spec: RunSpec) -> dict[str, Any]:
    """Return what the YAML of a run of GRPO says of its objective."""
    asked = spec.objective
    assert isinstance(asked, GrpoObjective), "only asked of runs of GRPO"
    rewards = rewards_of(asked)
    named = {name: getattr(asked, name) for name in _SAME}
    values = {name: value for name, value in named.items() if value is not None}
    values["reward_funcs"] = [f"{MODULE}.{name}" for name in rewards.names]
    values["reward_weights"] = list(rewards.weights)
    if asked.steps_per_generation is not None and spec.hardware.processes is not None:
        answers = asked.steps_per_generation * spec.training.per_device_train_batch_size
        values["generation_batch_size"] = answers * spec.hardware.processes
    return {"rl": "grpo", "trl": values, "remove_unused_columns": False}


def not_in_grpo(spec: RunSpec) -> list[str]:
    """Return which of the objective's fields are asked for and are not in the YAML."""
    asked = spec.objective
    if not isinstance(asked, GrpoObjective):
        return []
    fields = type(asked).model_fields
    said = [n for n in _HAS_NOT if getattr(asked, n) != fields[n].default]
    if asked.steps_per_generation is not None and spec.hardware.processes is None:
        said.append("steps_per_generation")  # Axolotl counts answers on all GPUs together
    return [f"objective.{name}" for name in said]


def no_grpo(spec: RunSpec) -> str:
    """Return why Axolotl's GRPO has no form for a run; empty where it has one."""
    asked = spec.objective
    assert isinstance(asked, GrpoObjective), "only asked of runs of GRPO"
    if any(reward.kind == "reward_model" for reward in asked.rewards):
        return (
            "a reward model is scored by trl's own reading of dialogues there, which cuts and ends "
            "texts otherwise than the model was trained on"
        )
    return ""


def reward_module(rewards: Rewards) -> str:
    """Return the text of the module with the functions."""
    ours = sorted({"import json", "import os", "from pathlib import Path", *rewards.imports})
    return "\n".join(
        [
            '"""The rewards of the run, and what reads its rows, for Axolotl."""',
            "",
            *sorted(ours, key=lambda line: line.startswith("from")),
            "",
            *rewards.libraries,
            "",
            "HERE = Path(__file__).parent",
            "".join(map(part, rewards.parts)),
            rewards.functions.strip("\n"),
            "",
            "",
            "def prompts(cfg, **_):",
            '    """Return what makes a row of a line: the rows are as trl takes them."""',
            "    return same",
            "",
            "",
            "def same(row):",
            "    return row",
            "",
        ]
    )
