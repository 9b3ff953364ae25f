"""PPO's two losses by token, both clipped (arXiv:1707.06347).

Tensors are (answers, tokens). Nothing is averaged here: over how many tokens is the trainer's to
know, since a step may see its answers in several passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Clipped:
    """A loss by token, and where its clipping decided.

    Attributes:
        loss: of each token.
        was_clipped: whether the clipped branch was the one that counted.
    """

    loss: Tensor
    was_clipped: Tensor


def policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, cliprange: float
) -> Clipped:
    """Return the clipped surrogate objective, as a loss.

    arXiv:1707.06347, equation 7: L = -min(r A, clip(r, 1 - eps, 1 + eps) A) with the ratio r of
    the token's probability now to that when it was sampled.
    """
    ratio = torch.exp(log_probs - old_log_probs)
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return Clipped(torch.maximum(free, held), held > free)


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, cliprange_value: float
) -> Clipped:
    """Return half the squared error of the values, which may not move far in one rollout.

    V is clipped to within `cliprange_value` of what it was, and the larger error counts; equation 9
    of arXiv:1707.06347 has the plain error, OpenAI's baselines and arXiv:2403.17031 clip it so.
    """
    held = values.clamp(old_values - cliprange_value, old_values + cliprange_value)
    free_error, held_error = (values - returns) ** 2, (held - returns) ** 2
    return Clipped(0.5 * torch.maximum(free_error, held_error), held_error > free_error)
