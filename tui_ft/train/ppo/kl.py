"""How far the policy is from the reference, and what that costs."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from tui_ft.spec.ppo import KlEstimator

_LARGEST_ERROR: Final = 0.2


def token_kl(log_probs: Tensor, reference: Tensor, estimator: KlEstimator) -> Tensor:
    """Return an estimate of each token's KL(policy || reference), in nats, at sampled tokens.

    http://joschu.net/blog/kl-approx.html: `k1` is log(p/q), unbiased, and below zero now and then;
    `k3` is q/p - 1 - log(q/p), unbiased too, never below zero and of less variance.

    Args:
        log_probs: of the sampled tokens by the policy that sampled them.
        reference: of the same tokens by the reference.
        estimator: which one.
    """
    log_ratio = log_probs - reference
    return log_ratio if estimator == "k1" else torch.expm1(-log_ratio) + log_ratio


class KlController:
    """The weight of the KL penalty; adaptive, it holds the KL of answers near a target.

    arXiv:1909.08593, section 2.2: e = clip(KL / target - 1, -0.2, 0.2), beta <- beta (1 + K e),
    with K = n / horizon after n answers, as its code has it. More answers than the horizon count
    as several looks at the same KL: with K above 5 beta would change its sign otherwise, and the
    policy be paid for going away.

    Args:
        coef: beta to begin with.
        target: nats that answers may be away, on average; None leaves beta as it is.
        horizon: answers in which beta changes by a fifth at the most.
    """

    def __init__(self, coef: float, target: float | None, horizon: int) -> None:
        self.coef, self.target, self.horizon = coef, target, horizon

    def update(self, kl: float, answers: int) -> None:
        """Look at the KL of so many answers, in nats for an answer."""
        if self.target is None:
            return
        error = max(-_LARGEST_ERROR, min(_LARGEST_ERROR, kl / self.target - 1))
        looks, rest = divmod(answers, self.horizon)
        self.coef *= (1 + error) ** looks * (1 + error * rest / self.horizon)
