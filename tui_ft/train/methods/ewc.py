"""Elastic weight consolidation (Kirkpatrick et al., arXiv:1612.00796) as a term of any loss.

Equation 3 of the paper: lambda / 2 sum_i F_i (theta_i - theta*_i)^2. F is the diagonal of the
Fisher information, here the empirical one for a token: the mean over rows of the squared gradient
of a row's log-likelihood, over the tokens that carry loss. The gradients of a model's own tokens
do not correlate, so the square of their sum is the sum of their squares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from tui_ft import paths
from tui_ft.spec.ewc import EwcPenalty
from tui_ft.train.errors import RunFailure
from tui_ft.train.rows.protocol import IGNORED, TokenRow

FILE: Final = "ewc.safetensors"
"""In the run's folder: the old weights and their importance, for a resumed run to hold to."""
_ANCHOR: Final = "anchor/"
_FISHER: Final = "fisher/"

Tensors = dict[str, torch.Tensor]


class Consolidation:
    """The term, over the parameters that are trained."""

    name = "ewc_penalty"

    def __init__(
        self, model: torch.nn.Module, strength: float, anchor: Tensors, fisher: Tensors
    ) -> None:
        """Hold ``model`` to ``anchor`` with ``strength`` lambda; tensors are of its shapes."""
        self._parameters = _trained(model)
        self._strength = strength
        self._anchor, self._fisher = anchor, fisher

    @torch.no_grad()
    def add_gradients(self, scale: float) -> torch.Tensor:
        """Add lambda F (theta - theta*) times ``scale``; return the value of the term, ().

        Raises:
            RunFailure: the gradients are not where they can be added to.
        """
        value = torch.zeros((), device=next(iter(self._parameters.values())).device)
        added = 0
        for name, parameter in self._parameters.items():
            away = parameter - self._anchor[name]
            pull = away * self._fisher[name]
            value += (away.mul_(pull)).sum(dtype=torch.float32)
            if parameter.grad is not None:
                parameter.grad.add_(pull.to(parameter.grad.dtype), alpha=self._strength * scale)
                added += 1
        if not added:
            raise RunFailure(
                "EWC adds to gradients, and the parameters have none that it can reach",
                "leave DeepSpeed and FSDP out, or method.ewc",
            )
        return value * (self._strength / 2)


def consolidation(
    model: torch.nn.Module,
    asked: EwcPenalty,
    rows: Sequence[TokenRow],
    folder: Path,
    arithmetic: torch.dtype | None,
    note: Callable[[str], None],
) -> Consolidation:
    """Return the term of a run; what it holds to is read from ``folder``, or found and kept there.

    Args:
        model: with the weights of the old task, on its device.
        asked: the run's.
        rows: of the old task: `input_ids` and `labels`.
        folder: the run's.
        arithmetic: of autocast; None for none.
        note: called with what was done.

    Raises:
        RunFailure: what is kept does not fit the model.
        OSError: it cannot be read or written.
    """
    file = folder / FILE
    if file.is_file():
        anchor, fisher = _read(file, model)
        return Consolidation(model, asked.ewc_lambda, anchor, fisher)
    chosen = [rows[number] for number in range(min(asked.rows, len(rows)))]
    fisher = fisher_diagonal(model, chosen, arithmetic)
    anchor = {name: p.detach().clone() for name, p in _trained(model).items()}
    if os.environ.get("RANK", "0") == "0":  # all processes of a run have found the same
        _write(file, anchor, fisher)
    note(f"EWC: the weights' importance is estimated from {len(chosen):,} rows of the old task")
    return Consolidation(model, asked.ewc_lambda, anchor, fisher)


def fisher_diagonal(
    model: torch.nn.Module, rows: Sequence[Mapping[str, Any]], arithmetic: torch.dtype | None = None
) -> Tensors:
    """Return the diagonal of the empirical Fisher information of a token, by parameter.

    Args:
        model: a causal language model, on its device.
        rows: `input_ids` and `labels` (-100: no loss).
        arithmetic: of autocast; None for none.
    """
    parameters = _trained(model)
    found = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    device = next(iter(parameters.values())).device
    was_training = model.training
    model.eval()
    for row in rows:
        ids = torch.tensor([row["input_ids"]], device=device)
        labels = torch.tensor(row["labels"], device=device)[1:]
        tokens = int((labels != IGNORED).sum())
        if not tokens:
            continue
        model.zero_grad(set_to_none=True)
        with torch.autocast(device.type, arithmetic, enabled=arithmetic is not None):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1]
        torch.nn.functional.cross_entropy(
            logits.float(), labels, ignore_index=IGNORED, reduction="sum"
        ).backward()  # type: ignore[no-untyped-call]
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                share = 1 / (tokens * len(rows))
                found[name].addcmul_(parameter.grad, parameter.grad, value=share)
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    return found


def _trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _write(file: Path, anchor: Tensors, fisher: Tensors) -> None:
    tensors = {f"{_ANCHOR}{name}": tensor for name, tensor in anchor.items()}
    tensors |= {f"{_FISHER}{name}": tensor for name, tensor in fisher.items()}
    unfinished = file.with_suffix(".part")
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, unfinished)
    unfinished.chmod(paths.PRIVATE_FILE)
    unfinished.replace(file)


def _read(file: Path, model: torch.nn.Module) -> tuple[Tensors, Tensors]:
    parameters = _trained(model)
    device = next(iter(parameters.values())).device
    tensors = safetensors.torch.load_file(file, device=str(device))
    fits = all(
        f"{kind}{name}" in tensors and tensors[f"{kind}{name}"].shape == parameter.shape
        for kind in (_ANCHOR, _FISHER)
        for name, parameter in parameters.items()
    )
    if not fits:
        raise RunFailure(f"{file} holds other weights than this model has", "begin a new run")
    return (
        {name: tensors[f"{_ANCHOR}{name}"] for name in parameters},
        {name: tensors[f"{_FISHER}{name}"] for name in parameters},
    )
