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


class ValueHead(nn.Linear):
    """One output over the last hidden states, zero in the beginning, always in float32.

    The body is the policy's own: what values learn reaches it weighed by `vf_coef`.
    """

    def __init__(self, hidden_size: int, device: torch.device) -> None:
        super().__init__(hidden_size, 1, device=device, dtype=torch.float32)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return the values (rows, tokens) of hidden states (rows, tokens, width)."""
        with torch.autocast(states.device.type, enabled=False):
            return super().forward(states.float()).squeeze(-1)


def bare(model: Any) -> Any:  # noqa: ANN401 - transformers and peft are untyped here
    """Return the model of transformers within its adapter's wrapping."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def attach_head(model: Any) -> ValueHead:  # noqa: ANN401
    """Give ``model`` a value head, trained with it and left out of what it saves; return it."""
    base = bare(model)
    head = ValueHead(base.config.get_text_config().hidden_size, model.device)
    base.add_module(_NAME, head)
    ignored = {f"{_NAME}.{name}" for name, _ in head.named_parameters()}
    base._keys_to_ignore_on_save = {*(base._keys_to_ignore_on_save or ()), *ignored}
    return head


def save_head(head: ValueHead, folder: Path) -> None:
    """Write the head into ``folder``, beside the weights that one needs to use the model.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {name: one.detach().cpu().contiguous() for name, one in head.named_parameters()}
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
    head.load_state_dict(tensors)
    return True
