"""Dropout left out for a while, where the probability of what was sampled is to be told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Let ``model`` answer, and be asked for probabilities, with all that it has.

    Generating leaves a model in the mode of training, where dropout would give every token a model
    of its own: not the one whose probabilities are compared later. Dropout is a module, or asks for
    the mode of the module that it stands in (`attention_dropout` of Llama and its like), so that
    all modules inside of ``model`` leave the mode of training. Its own stays, since trainers tell
    by it whether they train.
    """
    training = [one for one in model.modules() if one.training and one is not model]
    for one in training:
        one.training = False
    try:
        yield
    finally:
        for one in training:
            one.training = True
