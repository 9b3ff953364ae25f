"""Ask a reward about answers, as trl would."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from tui_ft.spec import build_spec
from tui_ft.train.precision import Precision
from tui_ft.train.rewards import RewardFunction, reward_functions

USER = {"role": "user", "content": "What is 6 x 7?"}


def make_job(
    *rewards: dict[str, Any], tokenizer: Any = None, notes: list[str] | None = None
) -> Any:
    """Return what rewards look at of a run with these rewards."""
    spec = build_spec(
        {
            "model": {"name_or_path": "m"},
            "data": {"train": "d"},
            "objective": {"kind": "grpo", "rewards": list(rewards)},
        }
    )
    return SimpleNamespace(
        spec=spec,
        tokenizer=tokenizer,
        precision=Precision("fp32", torch.float32),
        on_gpu=False,
        note=(notes if notes is not None else []).append,
    )


def make_reward(reward: dict[str, Any], **of_job: Any) -> RewardFunction:
    """Return a reward as trl is given it."""
    (function,), _ = reward_functions(make_job(reward, **of_job))
    return function


def ask(
    reward: RewardFunction | dict[str, Any],
    said: Sequence[str],
    reference: str | None = None,
    **columns: Any,
) -> list[float | None]:
    """Return the rewards of answers to one question in a dialogue."""
    function = make_reward(reward) if isinstance(reward, dict) else reward
    return function(
        prompts=[[USER]] * len(said),
        completions=[[{"role": "assistant", "content": one}] for one in said],
        reference=[reference] * len(said),
        **columns,
    )
