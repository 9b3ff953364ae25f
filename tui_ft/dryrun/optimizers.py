"""Optimizers as far as their memory goes, for parameters on `meta`.

Where torch's own optimizer runs on meta as it does on CUDA, it is taken. Fused and bitsandbytes'
optimizers are kernels that refuse meta: for them the states they hold are made, which is all they
allocate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, Protocol

import torch
from transformers.optimization import Adafactor

from tui_ft.dryrun.tracker import local
from tui_ft.memory.states import (
    COPIES_IN_STEP,
    NOT_REPLAYED,
    StateTensor,
    optimizer_states,
)

Device = Literal["cuda", "cpu"]
_DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "uint8": torch.uint8,
}


class Optimizer(Protocol):
    """What the dry run asks of an optimizer."""

    state: Any

    def step(self) -> Any:  # noqa: ANN401 - as torch
        """Update every parameter."""

    def zero_grad(self) -> None:
        """Let go of the gradients."""


def embedding_weights(model: torch.nn.Module) -> frozenset[torch.nn.Parameter]:
    """Return the weights that are looked up in, with which some optimizers deal otherwise."""
    tables = (one for one in model.modules() if isinstance(one, torch.nn.Embedding))
    return frozenset(weight for table in tables for weight in table.parameters())


def make_optimizer(
    name: str,
    parameters: Sequence[torch.nn.Parameter],
    device: Device = "cuda",
    embeddings: frozenset[torch.nn.Parameter] = frozenset(),
) -> Optimizer:
    """Return the optimizer that transformers makes for ``name`` on ``device``.

    Args:
        name: as in `training.optim`.
        parameters: what it trains.
        device: where it runs.
        embeddings: those of them that are embeddings' weights.

    Raises:
        ValueError: its memory is not known.
    """
    if name in NOT_REPLAYED:
        raise ValueError(f"what a step of {name} takes is not replayed")
    own = _OWN.get(name)
    return own(parameters, device) if own is not None else _StatesOnly(name, parameters, embeddings)


def tensors_of(optimizer: Optimizer) -> Iterable[torch.Tensor]:
    """Yield every tensor that an optimizer holds."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                yield value


class _StatesOnly:
    """Holds what an optimizer's kernels hold, and updates in place."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[torch.nn.Parameter],
        embeddings: frozenset[torch.nn.Parameter],
    ) -> None:
        self._name = name
        self._embeddings = embeddings
        self._parameters = parameters
        self.state: dict[torch.nn.Parameter, dict[str, torch.Tensor]] = {}
        optimizer_states(name, (1,), "float32")  # an unknown name is told before the step

    def step(self) -> None:
        for parameter in self._parameters:
            if parameter.grad is None or parameter in self.state:
                continue
            dtype = str(parameter.dtype).removeprefix("torch.")
            shape = tuple(local(parameter).shape)
            states = optimizer_states(
                self._name, shape, dtype, embedding=parameter in self._embeddings
            )
            self.state[parameter] = {
                str(number): _make(state) for number, state in enumerate(states)
            }
        if self._name in COPIES_IN_STEP:
            trained = [one for one in self._parameters if one.grad is not None]
            [torch.empty_like(one) for one in trained]  # all at once, and gone with the step

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None


def _make(state: StateTensor) -> torch.Tensor:
    return torch.empty(state.shape, dtype=_DTYPES[state.dtype], device="meta")


def _adamw(parameters: Sequence[torch.nn.Parameter], device: Device) -> Optimizer:
    # torch takes the foreach form on CUDA, which makes copies of all that is trained at once.
    return torch.optim.AdamW(parameters, foreach=device == "cuda")


def _sgd(parameters: Sequence[torch.nn.Parameter], device: Device) -> Optimizer:
    return torch.optim.SGD(parameters, foreach=device == "cuda")


def _adafactor(parameters: Sequence[torch.nn.Parameter], device: Device) -> Optimizer:
    # As transformers' Trainer sets it up: no relative step, so no state for the parameter's scale.
    return Adafactor(parameters, lr=1e-3, scale_parameter=False, relative_step=False)  # type: ignore[no-any-return]


_Make = Callable[[Sequence[torch.nn.Parameter], Device], Optimizer]
_OWN: Final[dict[str, _Make]] = {
    "adamw_torch": _adamw,
    "sgd": _sgd,
    "adafactor": _adafactor,
}
