"""What makes a learned prompt, kept in checkpoints whole.

peft saves the prompt that comes out: enough to use it, and too little to train on. What it loads
from there into a run goes through the small network once more (p-tuning), or does not fit at all
(prefix tuning with a projection).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

FILE: Final = "prompt_encoder.safetensors"


def save_prompt_encoder(model: Any, checkpoint: Path) -> None:  # noqa: ANN401 - peft is untyped
    """Write the network that makes the prompt of ``model`` beside it, if there is one.

    Raises:
        OSError: it cannot be written.
    """
    encoder = _encoder_of(model)
    if encoder is None or not checkpoint.is_dir():
        return
    weights = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    safetensors.torch.save_file(weights, checkpoint / FILE)


def load_prompt_encoder(model: Any, checkpoint: Path) -> bool:  # noqa: ANN401
    """Read it back into ``model``; return whether there was one."""
    encoder, file = _encoder_of(model), checkpoint / FILE
    if encoder is None or not file.is_file():
        return False
    encoder.load_state_dict(safetensors.torch.load_file(file))
    return True


def _encoder_of(model: Any) -> torch.nn.Module | None:  # noqa: ANN401
    encoders = getattr(model, "prompt_encoder", None)
    return encoders[model.active_adapter] if encoders else None
