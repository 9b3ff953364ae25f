"""From the scores of answers to the advantage of each of their tokens.

All tensors are (answers, tokens); `mask` is true at the tokens of an answer, which follow each
other, and what stands elsewhere counts for nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-8


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


def whiten(values: Tensor, mask: Tensor, *, keep_mean: bool = False) -> Tensor:
    """Return ``values`` with spread 1 over all tokens of all answers, and mean 0.

    arXiv:2403.17031 does so with advantages, and, when asked, with rewards, which keep their mean.
    Fewer than two tokens have no spread, and stay as they are.

    Args:
        values: of each token.
        mask: the tokens that count.
        keep_mean: leave the mean where it is.
    """
    counted = values[mask]
    if counted.numel() <= 1:
        return values.where(mask, 0.0)
    mean = counted.mean()
    spread = (values - mean) * torch.rsqrt(counted.var() + _TINY)
    return (spread + mean if keep_mean else spread).where(mask, 0.0)
