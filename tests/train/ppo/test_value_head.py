"""The value head learns at a pace of its own, whatever rate learned tokens or scales take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.ppo.answering import ppo_spec
from tests.train.running import run_worker
from tui_ft.train.ppo.value_head import ValueHead, load_head, save_head, slowed

CPU = torch.device("cpu")


def test_only_rates_that_would_throw_values_about_are_slowed() -> None:
    assert slowed(1.4e-5, 4096, 0.2) == 1  # the recipe's: 0.06 in a step
    assert slowed(2e-4, 4096, 0.2) == pytest.approx(0.2 / 0.8192)
    assert slowed(0.3, 64, 0.2) == pytest.approx(0.2 / 19.2)


@pytest.mark.parametrize("rate", [1e-3, 0.3])
def test_a_step_of_adam_moves_a_value_no_further(rate: float) -> None:
    head = ValueHead(64, CPU, slowed(rate, 64, 0.2))
    states = torch.ones(2, 3, 64)
    optimizer = torch.optim.Adam([head.weight], rate)
    (head(states) - 1).square().mean().backward()
    optimizer.step()
    moved = head(states)
    torch.testing.assert_close(moved, torch.full((2, 3), min(0.2, 64 * rate)))


def test_its_file_says_what_it_says_at_any_rate(tmp_path: Path) -> None:
    left, taken_up = ValueHead(4, CPU, 0.25), ValueHead(4, CPU, 0.5)
    torch.nn.init.normal_(left.weight)
    torch.nn.init.ones_(left.bias)
    save_head(left, tmp_path)
    assert load_file(tmp_path / "value_head.safetensors")["bias"].tolist() == [0.25]
    assert load_head(taken_up, tmp_path)
    states = torch.randn(2, 3, 4)
    torch.testing.assert_close(taken_up(states), left(states))


def test_values_stay_near_the_rewards_at_the_rate_of_learned_tokens(
    tmp_path: Path, tiny_llama: Path
) -> None:
    # Rewards are 0 or 1: half the squared error of a value among them is 0.5 at the most.
    spec = ppo_spec(
        tmp_path,
        tiny_llama,
        method={"kind": "prompt_tuning", "num_virtual_tokens": 4},
        training={"max_steps": 6, "learning_rate": 0.3},
    )
    ran = run_worker(spec, tmp_path / "run")
    assert ran.ended.state == "finished", ran.ended
    losses = [loss for loss in ran.history.series("value_loss").y if loss is not None]
    assert len(losses) == 6
    assert max(losses) < 0.5, losses
