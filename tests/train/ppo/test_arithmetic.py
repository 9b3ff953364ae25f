"""PPO's parts, by numbers worked out by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import tensor

from tui_ft.spec.ppo import KlEstimator
from tui_ft.train.ppo.advantages import (
    UsualSpread,
    alone,
    generalised_advantages,
    moments,
    penalise_missing_end,
    token_rewards,
    whiten,
)
from tui_ft.train.ppo.figures import Figures
from tui_ft.train.ppo.kl import KlController, token_kl
from tui_ft.train.ppo.losses import policy_loss, value_loss
from tui_ft.train.ppo.rollout import Rollout, lay_out, until_end

CPU = torch.device("cpu")
# A prompt's place, two tokens of an answer, padding; and an answer of three tokens.
MASK = tensor([[False, True, True, False], [True, True, True, False]])


def close(found: torch.Tensor, expected: list[list[float]] | list[float]) -> None:
    torch.testing.assert_close(found, tensor(expected), atol=1e-6, rtol=1e-6)


def test_each_token_pays_for_its_kl_and_the_last_one_is_given_the_score() -> None:
    kl = tensor([[9.0, 0.5, 1.0, 9.0], [0.1, 0.2, -0.3, 9.0]])
    rewards = token_rewards(tensor([2.0, -1.0]), kl, MASK, kl_coef=0.2)
    close(rewards, [[0.0, -0.1, 2.0 - 0.2, 0.0], [-0.02, -0.04, -1.0 + 0.06, 0.0]])


def test_an_answer_that_does_not_count_is_given_nothing() -> None:
    mask = tensor([[False, False], [False, True]])
    close(token_rewards(tensor([5.0, 3.0]), torch.ones(2, 2), mask, 0.0), [[0.0, 0.0], [0.0, 3.0]])


def test_an_answer_without_an_end_loses_the_penalty() -> None:
    scores, ended = tensor([1.0, 1.0]), tensor([True, False])
    close(penalise_missing_end(scores, ended, 1.5), [1.0, -0.5])
    assert penalise_missing_end(scores, ended, None) is scores


def test_advantages_add_up_what_went_better_than_foretold() -> None:
    # gamma 0.9, lambda 0.5, so what is carried back is 0.45 of the next one. By hand, of row 2:
    #   delta_3 = 1 - 0.3                = 0.7      A_3 = 0.7
    #   delta_2 = 0 + 0.9 * 0.3 - 0.2    = 0.07     A_2 = 0.07 + 0.45 * 0.7   = 0.385
    #   delta_1 = 0 + 0.9 * 0.2 - 0.1    = 0.08     A_1 = 0.08 + 0.45 * 0.385 = 0.25325
    rewards = tensor([[7.0, 0.0, 1.0, 7.0], [0.0, 0.0, 1.0, 7.0]])
    values = tensor([[7.0, 0.5, 0.5, 7.0], [0.1, 0.2, 0.3, 7.0]])
    advantages, returns = generalised_advantages(rewards, values, MASK, gamma=0.9, lam=0.5)
    # Row 1: A_3 = 1 - 0.5; A_2 = 0 + 0.9 * 0.5 - 0.5 + 0.45 * 0.5.
    close(advantages, [[0.0, 0.175, 0.5, 0.0], [0.25325, 0.385, 0.7, 0.0]])
    close(returns, [[0.0, 0.675, 1.0, 0.0], [0.35325, 0.585, 1.0, 0.0]])


def test_lambda_one_is_what_was_earned_and_lambda_zero_one_step() -> None:
    generator = torch.Generator().manual_seed(1)
    rewards, values = (torch.randn(2, 4, generator=generator) for _ in range(2))
    _, earned = generalised_advantages(rewards, values, MASK, gamma=1.0, lam=1.0)
    masked = rewards.where(MASK, 0.0)
    to_come = masked.flip(1).cumsum(1).flip(1).where(MASK, 0.0)
    torch.testing.assert_close(earned, to_come)
    advantages, _ = generalised_advantages(rewards, values, MASK, gamma=1.0, lam=0.0)
    assert float(advantages[1, 0]) == pytest.approx(
        float(rewards[1, 0] + values[1, 1] - values[1, 0])
    )


def test_whitened_values_have_mean_zero_and_spread_one_where_they_count() -> None:
    values = tensor([[99.0, 1.0, 3.0, 99.0], [5.0, 7.0, 9.0, 99.0]])
    # 1, 3, 5, 7, 9: mean 5, variance 40 / 4.
    spread = math.sqrt(10)
    expected = [[0.0, -4 / spread, -2 / spread, 0.0], [0.0, 2 / spread, 4 / spread, 0.0]]
    close(whiten(values, MASK), expected)
    kept = whiten(values, MASK, keep_mean=True)
    assert float(kept[MASK].mean()) == pytest.approx(5.0)
    assert float(kept[MASK].std()) == pytest.approx(1.0)
    assert float(kept[0, 0]) == 0.0


def test_a_single_token_has_no_spread() -> None:
    close(whiten(tensor([[2.0, 5.0]]), tensor([[True, False]])), [[2.0, 0.0]])


def test_advantages_smaller_than_of_late_are_not_made_larger() -> None:
    large = tensor([[0.0, 1.0, 3.0, 0.0], [5.0, 7.0, 9.0, 0.0]])
    usual = UsualSpread(memory=0.75)
    # Spread sqrt(10), and afterwards a tenth of it: 0.75 + 0.25 / 10 of the first one is usual.
    torch.testing.assert_close(whiten(large, MASK, usual=usual), whiten(large, MASK))
    small = whiten(large / 10, MASK, usual=usual)
    assert usual.value == pytest.approx(math.sqrt(10) * 0.775)
    torch.testing.assert_close(small, whiten(large, MASK) / 7.75)
    assert float(small[MASK].mean()) == pytest.approx(0, abs=1e-6)
    # What is larger than usual is brought to spread 1 at once.
    assert float(whiten(large * 10, MASK, usual=usual)[MASK].std()) == pytest.approx(1)
    assert UsualSpread(memory=0.0, value=5.0).after(0.5) == 0.5


def test_moments_are_those_of_all_processes() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(4, 5, generator=generator)
    mask = torch.rand(4, 5, generator=generator) > 0.3
    # What the other process has, as it is asked: sum and count, then squares about the mean.
    here, there = (slice(0, 1), slice(1, 4))
    mean = values[mask].mean()
    others = values[there][mask[there]]
    told = iter([tensor([others.sum(), others.numel()]), ((others - mean) ** 2).sum()])
    found = moments(values[here], mask[here], lambda ours: ours + next(told))
    torch.testing.assert_close(found, (mean, values[mask].var()))
    assert moments(values, torch.zeros_like(mask))[1].isnan()


def test_figures_are_means_over_all_that_was_measured() -> None:
    figures = Figures()
    figures.add("reward", tensor([1.0, math.nan, 0.0]))
    figures.add("reward", tensor([1.0]))
    figures.add("kl", tensor([[4.0, 2.0]]), tensor([[False, True]]))
    figures.add("nothing", tensor(math.nan))
    # Another process measured the same, and one reward more.
    more = tensor([[3.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    assert figures.take(lambda ours: ours + more) == {"reward": 1.25, "kl": 2.0}
    assert figures.take(alone) == {}


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "was_clipped"),
    [
        (1.1, 2.0, -2.2, False),
        (1.5, 2.0, -2.4, True),  # no more than 1.2 is to be gained
        (1.5, -2.0, 3.0, False),  # what got likelier and is bad counts whole
        (0.5, -2.0, 1.6, True),
        (0.5, 2.0, -1.0, False),
    ],
)
def test_the_policy_gains_nothing_beyond_the_clip(
    ratio: float, advantage: float, loss: float, was_clipped: bool
) -> None:
    old = tensor([[-1.0]])
    found = policy_loss(old + math.log(ratio), old, tensor([[advantage]]), cliprange=0.2)
    assert float(found.loss) == pytest.approx(loss)
    assert bool(found.was_clipped) is was_clipped


@pytest.mark.parametrize(
    ("value", "old", "wanted", "loss", "was_clipped"),
    [
        (1.1, 1.0, 2.0, 0.5 * 0.9**2, False),
        (1.8, 1.0, 2.0, 0.5 * 0.8**2, True),  # held at 1.2, which is further off
        (0.5, 1.0, 2.0, 0.5 * 1.5**2, False),
    ],
)
def test_a_value_gains_nothing_beyond_the_clip(
    value: float, old: float, wanted: float, loss: float, was_clipped: bool
) -> None:
    found = value_loss(tensor([[value]]), tensor([[old]]), tensor([[wanted]]), cliprange_value=0.2)
    assert float(found.loss) == pytest.approx(loss)
    assert bool(found.was_clipped) is was_clipped


def test_a_clipped_token_pulls_at_nothing() -> None:
    log_probs = tensor([[-0.5, -0.9]], requires_grad=True)
    found = policy_loss(log_probs, tensor([[-1.0, -1.0]]), tensor([[1.0, 1.0]]), cliprange=0.2)
    found.loss.sum().backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    close(log_probs.grad, [[0.0, -math.exp(0.1)]])


def test_estimates_of_the_kl_agree_with_the_kl() -> None:
    policy, reference = tensor([0.7, 0.2, 0.1]), tensor([0.5, 0.3, 0.2])
    exact = float((policy * (policy / reference).log()).sum())
    for estimator in get_args(KlEstimator):
        by_token = token_kl(policy.log(), reference.log(), estimator)
        assert float((policy * by_token).sum()) == pytest.approx(exact, abs=1e-6)
    assert bool((token_kl(policy.log(), reference.log(), "k3") >= 0).all())


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.0, 1.0), (6.6, 1 + 0.1 * 0.64), (60.0, 1 + 0.2 * 0.64), (0.0, 1 - 0.2 * 0.64)],
)
def test_the_kl_coefficient_moves_towards_its_target(kl: float, factor: float) -> None:
    controller = KlController(0.2, target=6.0, horizon=100)
    controller.update(kl, answers=64)
    assert controller.coef == pytest.approx(0.2 * factor)


def test_a_rollout_larger_than_the_horizon_counts_as_several() -> None:
    near, far = (KlController(0.2, target=6.0, horizon=100) for _ in range(2))
    near.update(0.0, answers=640)  # a factor of 1 - 0.2 * 6.4 would make of the price a reward
    assert near.coef == pytest.approx(0.2 * 0.8**6 * (1 - 0.2 * 0.4))
    far.update(60.0, answers=200)
    assert far.coef == pytest.approx(0.2 * 1.2**2)


def test_without_a_target_the_kl_coefficient_stays() -> None:
    controller = KlController(0.2, target=None, horizon=100)
    controller.update(100.0, answers=64)
    assert controller.coef == 0.2


def test_an_answer_ends_with_its_first_end() -> None:
    assert until_end([5, 6, 2, 0, 0], [2, 3]) == ([5, 6, 2], True)
    assert until_end([5, 6, 7], [2, 3]) == ([5, 6, 7], False)


def test_what_is_known_of_a_token_stands_where_it_was_chosen() -> None:
    rows = lay_out([[1, 2, 3], [4]], [[5, 6], [7, 8, 9]], pad=0, device=CPU)
    assert rows.input_ids.tolist() == [[1, 2, 3, 5, 6], [4, 7, 8, 9, 0]]
    assert rows.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert rows.answer_mask.tolist() == [[False, False, True, True], [True, True, True, False]]
    assert rows.labels.tolist() == [[-100, -100, -100, 5, 6], [-100, 7, 8, 9, -100]]


def test_a_part_of_a_rollout_is_cut_to_its_longest_answer_and_comes_back_from_disk() -> None:
    rows = lay_out([[1, 2, 3], [4]], [[5, 6], [7, 8, 9]], pad=0, device=CPU)
    first = torch.arange(8.0).view(2, 4)
    order = tensor([[1, 0], [0, 1]])
    rollout = Rollout(rows, first, first + 10, first + 20, first + 30, order)
    again = Rollout.from_tensors(rollout.tensors(), CPU)
    for one in (rollout, again):
        part = one.part(0, start=0, count=1)
        assert part.rows.input_ids.tolist() == [[4, 7, 8, 9]]
        assert part.log_probs.tolist() == [[4.0, 5.0, 6.0]]
        assert part.returns.tolist() == [[34.0, 35.0, 36.0]]
        assert int(one.tokens(0, 0, 1)) == 3
        assert int(one.tokens(1, 0, 2)) == 5
        assert one.part(1, start=1, count=1).rows.input_ids.tolist() == [[4, 7, 8, 9]]
