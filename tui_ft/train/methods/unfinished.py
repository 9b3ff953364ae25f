"""What an adapter is made of while it is trained, kept in checkpoints beside what peft writes.

peft saves what comes out: enough to use, and too little to train on. The prompt of p-tuning would
go through its small network once more, that of prefix tuning with a projection does not fit it, and
AdaLoRA's updates have lost the ranks that might have come back, and what was known of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

FILE: Final = "unfinished_adapter.safetensors"
_RANKS: Final = "rank_pattern"
_AVERAGES: Final = ("exp_avg_ipt", "exp_avg_unc")


def save_unfinished(model: Any, checkpoint: Path) -> None:  # noqa: ANN401 - peft is untyped here
    """Write what the adapter of ``model`` is made of, where that is more than peft writes.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in _parts_of(model)}
    if tensors:
        checkpoint.mkdir(parents=True, exist_ok=True)
        ranks = {_RANKS: json.dumps(_config_of(model).to_dict().get(_RANKS))}
        safetensors.torch.save_file(tensors, checkpoint / FILE, metadata=ranks)


def load_unfinished(model: Any, checkpoint: Path) -> bool:  # noqa: ANN401
    """Read it back into ``model``; return whether there was any."""
    file = checkpoint / FILE
    if not hasattr(model, "peft_config") or not file.is_file():
        return False
    tensors = safetensors.torch.load_file(file)
    for name, tensor in _parts_of(model):
        if name in tensors:
            tensor.data.copy_(tensors[name])
    allocator = getattr(model.base_model, "rankallocator", None)
    if allocator is not None:
        with safetensors.safe_open(file, framework="pt") as opened:
            _config_of(model).rank_pattern = json.loads(opened.metadata()[_RANKS])
        _load_averages(allocator, tensors, next(model.parameters()).device)
    return True


def _config_of(model: Any) -> Any:  # noqa: ANN401
    return model.peft_config[model.active_adapter]


def _parts_of(model: Any) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ANN401
    """Return by name the tensors that training goes on from; none where peft writes them all."""
    encoders = getattr(model, "prompt_encoder", None)
    if encoders:
        yield from encoders[model.active_adapter].state_dict().items()
    allocator = getattr(getattr(model, "base_model", None), "rankallocator", None)
    if allocator is None:
        return
    yield from ((name, p.data) for name, p in model.named_parameters() if p.requires_grad)
    for kept in _AVERAGES:
        yield from ((f"{kept}/{name}", one) for name, one in getattr(allocator, kept).items())


def _load_averages(allocator: Any, tensors: dict[str, torch.Tensor], device: torch.device) -> None:  # noqa: ANN401
    for kept in _AVERAGES:
        prefix = f"{kept}/"
        found = {
            name.removeprefix(prefix): tensor.to(device)
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        setattr(allocator, kept, found)
    allocator.ipt = {name: torch.zeros_like(one) for name, one in allocator.exp_avg_ipt.items()}
