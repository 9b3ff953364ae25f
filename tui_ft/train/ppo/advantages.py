"""From the scores of answers to the advantage of each of their tokens.

All tensors are (answers, tokens); `mask` is true at the tokens of an answer, which follow each
other, and what stands elsewhere counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Total = Callable[[Tensor], Tensor]
"""Adds a tensor up over all processes."""
_TINY = 1e-8


def alone(tensor: Tensor) -> Tensor:
    """Return what a tensor comes to in a run of one process: itself."""
    return tensor


def penalise_missing_end(scores: Tensor, ended: Tensor, penalty: float | None) -> Tensor:
    """Return the scores, less by ``penalty`` where an answer was cut before it came to an end.

    The "EOS trick" of arXiv:2403.17031: what is not told to stop does not learn to.

    Args:
        scores: of whole answers, (answers,).
        ended: whether an answer has its end of turn, (answers,).
        penalty: what is taken off; None for nothing.
    """
    return scores if penalty is None else torch.where(ended, scores, scores - penalty)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Return what each token is rewarded with: the price of its KL, and at the last one the score.

    arXiv:1909.08593, section 2, equation 2: R(x, y) = r(x, y) - beta log(pi(y|x) / rho(y|x)), of
    which the second part is known token by token.

    Args:
        scores: of whole answers, (answers,).
        kl: the estimate of each token's KL divergence, in nats.
        mask: the tokens of answers; an answer without one is given nothing.
        kl_coef: beta.
    """
    rewards = torch.where(mask, -kl_coef * kl, 0.0)
    places = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, places, -1).argmax(dim=1)
    answered = mask.any(dim=1)
    rewards[answered, last[answered]] += scores[answered]
    return rewards


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return advantages and returns, both zero outside of answers.

    arXiv:1506.02438, equations 11 and 16: delta_t = r_t + gamma V(s_t+1) - V(s_t) and
    A_t = delta_t + gamma lam A_t+1. After its last token an answer is worth nothing more. A return,
    which the values learn to foretell, is A_t + V(s_t) (arXiv:1707.06347, section 5).

    Args:
        rewards: of each token.
        values: V(s_t), what is still to come before token t is chosen.
        mask: the tokens of answers.
        gamma: how much less a later reward counts.
        lam: 0 trusts the values, 1 what was really earned.
    """
    rewards, values = rewards.where(mask, 0.0), values.where(mask, 0.0)
    following = torch.cat([values[:, 1:], values.new_zeros(len(values), 1)], dim=1)
    deltas = rewards + gamma * following - values
    advantages = torch.zeros_like(deltas)
    carried = deltas.new_zeros(len(deltas))
    for place in range(deltas.shape[1] - 1, -1, -1):
        carried = (deltas[:, place] + gamma * lam * carried) * mask[:, place]
        advantages[:, place] = carried
    return advantages, advantages + values


def moments(values: Tensor, mask: Tensor, total: Total = alone) -> tuple[Tensor, Tensor]:
    """Return mean and variance of ``values`` where they count, over all processes.

    The variance is the unbiased one; fewer than two values have none, which is NaN.

    Args:
        values: of any shape.
        mask: which of them count.
        total: adds a tensor up over all processes.
    """
    counted = mask.to(torch.float32)
    summed = torch.stack([values.where(mask, 0.0).sum(), counted.sum()])
    of_all, count = total(summed)
    mean = of_all / count
    squares = total(((values - mean).where(mask, 0.0) ** 2).sum())
    variance = squares / (count - 1)
    return mean, variance if count > 1 else torch.full_like(variance, math.nan)


def whiten(
    values: Tensor,
    mask: Tensor,
    *,
    keep_mean: bool = False,
    usual: UsualSpread | None = None,
    total: Total = alone,
) -> Tensor:
    """Return ``values`` with spread 1 over all tokens of all answers, and mean 0.

    arXiv:2403.17031 does so with advantages, and, when asked, with rewards, which keep their mean.
    Fewer than two tokens have no spread, and stay as they are.

    Args:
        values: of each token.
        mask: the tokens that count.
        keep_mean: leave the mean where it is.
        usual: their spread of late: they are not brought to spread 1 where theirs is less.
        total: adds a tensor up over all processes.
    """
    mean, variance = moments(values, mask, total)
    if not math.isfinite(variance):
        return values.where(mask, 0.0)
    spread = (variance + _TINY).sqrt()
    if usual is not None:
        spread = spread.clamp(min=usual.after(float(spread)))
    whitened = (values - mean) / spread
    return (whitened + mean if keep_mean else whitened).where(mask, 0.0)


class UsualSpread:
    """The spread that advantages had of late, below which they are not made larger.

    When all answers come to get the same reward, what is left of advantages is the noise of the
    values and of the KL penalty, and brought to spread 1 it would move the policy as the rewards
    did. arXiv:2301.04104 (DreamerV3, "Actor learning") therefore divides by a moving average and
    never enlarges what is small; with rewards of any scale, small is here: less than usual.

    Args:
        memory: the share of it that stays at each rollout; 0 knows only the rollout at hand.
        value: what it is; None before the first rollout.
    """

    def __init__(self, memory: float, value: float | None = None) -> None:
        self.memory, self.value = memory, value

    def after(self, spread: float) -> float:
        """Return it after a rollout of such a spread."""
        before = spread if self.value is None else self.value
        self.value = self.memory * before + (1 - self.memory) * spread
        return self.value
