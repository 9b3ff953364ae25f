"""What an optimizer holds, and what its step takes for a moment."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Final

from tui_ft.memory.estimate.tape import FLOAT32, block_of
from tui_ft.memory.estimate.weights import Held
from tui_ft.memory.states import optimizer_states

_NAMES: Final = {4: "float32", 2: "bfloat16"}


def states_of(name: str, trained: Iterable[Held]) -> int:
    """Return the bytes of an optimizer's states (`tui_ft.memory.states`).

    Raises:
        ValueError: the optimizer is not known.
    """
    return sum(
        held.number * sum(block_of(size) for size in state_sizes(name, held)) for held in trained
    )


def state_sizes(name: str, held: Held) -> list[int]:
    """Return the bytes of each tensor that an optimizer holds for one weight."""
    return [state.size for state in optimizer_states(name, held.shape, _NAMES[held.width])]


def step_takes(name: str, trained: Iterable[Held]) -> int:
    """Return the most bytes that a step takes beside weights, gradients and states.

    AdamW in its foreach form makes the roots of all second moments at once: a copy of all that is
    trained (torch/optim/adam.py, `_multi_tensor_adam`). Adafactor goes one weight after the other:
    gradient and weight in float32 where they are shorter, the squared gradient, and its sum with
    epsilon (transformers/optimization.py). Fused, 8-bit and SGD steps work in place.
    """
    if name == "adamw_torch":
        return sum(held.all_sizes for held in trained)
    if name == "adafactor":
        return max((_adafactor(held) for held in trained), default=0)
    return 0


def _adafactor(held: Held) -> int:
    copies = 2 if held.width == FLOAT32 else 4
    return copies * block_of(prod(held.shape) * FLOAT32)
