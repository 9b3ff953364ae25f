"""Dropout left out for a while, where the probability of what was sampled is to be told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Let ``model`` answer, and be asked for probabilities, with all that it has.

    Generating leaves a model in the mode of training, where dropout would give every token a model
    of its own: not the one whose probabilities are compared later. Its mode stays, since trainers
    tell by it whether they train.
    """
    dropped = [one for one in model.modules() if isinstance(one, nn.Dropout) and one.training]
    for one in dropped:
        one.training = False
    try:
        yield
    finally:
        for one in dropped:
            one.training = True
