"""The value head: one number for each token, of what an answer is still to earn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from peft import PeftModel
from torch import Tensor, nn

FILE: Final = "value_head.safetensors"
_NAME: Final = "value_head"


def slowed(rate: float, hidden_size: int, most: float) -> float:
    """Return by what a head's output is multiplied, so that no step moves a value by over ``most``.

    A step of Adam moves a weight by the rate, all of them may go one way, and the states after a
    model's last norm are about 1: a value moves by rate x hidden_size. At the rates of what is no
    weight of the model (3e-1 for learned tokens) that is tens, while rewards are about 1, and what
    such values say of answers is noise. Output layers therefore learn slower by their width
    (arXiv:2203.03466, table 3); a factor does it with any optimizer, and leaves its groups alone.

    Args:
        rate: the run's learning rate.
        hidden_size: weights of the head.
        most: what a value may move by in a step.
    """
    return min(1.0, most / (rate * hidden_size))


class ValueHead(nn.Linear):
    """One output over the last hidden states, zero in the beginning, always in float32.

    The body is the policy's own: what values learn reaches it weighed by `vf_coef`.

    Args:
        hidden_size: the width of states.
        device: where to.
        factor: of the output, see `slowed`; files hold weights that are multiplied by it already.
    """

    def __init__(self, hidden_size: int, device: torch.device, factor: float = 1.0) -> None:
        super().__init__(hidden_size, 1, device=device, dtype=torch.float32)
        self.factor = factor
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return the values (rows, tokens) of hidden states (rows, tokens, width)."""
        with torch.autocast(states.device.type, enabled=False):
            return self.factor * super().forward(states.float()).squeeze(-1)


def bare(model: Any) -> Any:  # noqa: ANN401 - transformers and peft are untyped here
    """Return the model of transformers within its adapter's wrapping."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def attach_head(model: Any, rate: float, most: float) -> ValueHead:  # noqa: ANN401
    """Give ``model`` a value head, trained with it and left out of what it saves; return it.

    Args:
        model: the policy.
        rate: the run's learning rate.
        most: what a step may move a value by.
    """
    base = bare(model)
    width = base.config.get_text_config().hidden_size
    head = ValueHead(width, model.device, slowed(rate, width, most))
    base.add_module(_NAME, head)
    ignored = {f"{_NAME}.{name}" for name, _ in head.named_parameters()}
    base._keys_to_ignore_on_save = {*(base._keys_to_ignore_on_save or ()), *ignored}
    return head


def save_head(head: ValueHead, folder: Path) -> None:
    """Write the head into ``folder``, beside the weights that one needs to use the model.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {
        name: (head.factor * one.detach()).cpu().contiguous()
        for name, one in head.named_parameters()
    }
    safetensors.torch.save_file(tensors, folder / FILE)


def load_head(head: ValueHead, folder: Path) -> bool:
    """Read the head from ``folder``; return whether one of its width was there."""
    file = folder / FILE
    if not file.is_file():
        return False
    tensors = safetensors.torch.load_file(file)
    if {name: one.shape for name, one in tensors.items()} != {
        name: one.shape for name, one in head.named_parameters()
    }:
        return False
    head.load_state_dict({name: one / head.factor for name, one in tensors.items()})
    return True
