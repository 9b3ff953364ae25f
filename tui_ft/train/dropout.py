"""Dropout left out: for a while, where what was sampled is to be scored, or for a whole run."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedConfig, PreTrainedModel


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


def leave_out_dropout(model: nn.Module) -> None:
    """Let no forward pass of ``model`` drop anything, in training either.

    trl's own `disable_dropout` knows `nn.Dropout` alone. Most families keep a probability as a
    number in their modules (`attention_dropout` of Llama, `hidden_dropout` of BLOOM, `layerdrop`
    of OPT), and Falcon's layers look it up in the configuration. Left there, a policy would differ
    from its reference before anything is learned. What the model's own configuration says stays,
    for who loads it.
    """
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        for name in _probabilities(module):
            setattr(module, name, 0.0)
    for whole in (one for one in model.modules() if isinstance(one, PreTrainedModel)):
        for part in whole.modules():
            config = vars(part).get("config")
            if isinstance(part, PreTrainedModel) or not isinstance(config, PreTrainedConfig):
                continue
            named = _probabilities(config)
            if named:
                part.config = copy.copy(config)
                for name in named:
                    setattr(part.config, name, 0.0)


def _probabilities(holder: object) -> list[str]:
    """Return the names under which a module or a configuration keeps how much it drops."""
    kept = vars(holder).items()
    return [name for name, value in kept if "drop" in name and isinstance(value, float) and value]
