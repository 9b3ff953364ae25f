"""What an optimizer holds, and what its step takes for a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tui_ft.memory.estimate.tape import FLOAT32, block_of
from tui_ft.memory.estimate.weights import Held
from tui_ft.memory.states import COPIES_IN_STEP, PROJECTING, optimizer_states

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
    states = optimizer_states(
        name, held.shape, _NAMES[held.width], embedding=held.embedding, rank=held.rank
    )
    return [state.size for state in states]


def step_takes(name: str, trained: Iterable[Held]) -> int:
    """Return the most bytes that a step takes beside weights, gradients and states."""
    moments = moments_of_step(name, trained)
    return max((sum(map(block_of, sizes)) for sizes in moments), default=0)


def moments_of_step(name: str, trained: Iterable[Held]) -> Iterator[list[int]]:
    """Yield what an optimizer's step makes and lets go of again, in bytes.

    AdamW in its foreach form makes a copy of all that is trained (`COPIES_IN_STEP`). Adafactor goes
    one weight after the other, as LOMO and AdaLOMO do: gradient and weight in float32 where they
    are shorter, the squared gradient, and its sum with epsilon (transformers/optimization.py).
    Fused, 8-bit and SGD steps work in place.
    """
    if name in COPIES_IN_STEP:
        yield [held.count * held.width for held in trained for _ in range(held.number)]
    elif name == "grokadamw":
        for held in trained:  # its states come from the host, one weight's at a time
            yield [held.count * held.width] * 5
    elif name in PROJECTING:
        for held in trained:
            yield list(_projecting(name, held))
    elif name in ("adafactor", "lomo", "adalomo"):
        for held in trained:
            copies = 2 if held.width == FLOAT32 else 4
            yield [held.count * FLOAT32] * copies


def _projecting(name: str, held: Held) -> Iterator[int]:
    """Yield what projecting one weight's gradient takes: an update as large as the weight.

    GaLore's singular value decomposition works in float32 on a copy, and gives U and V
    (galore-torch 1.0, `get_orthogonal_matrix`); what the solver takes beside is not known.
    """
    yield held.count * held.width
    if held.rank and name.startswith("galore"):
        small = min(held.shape)
        yield 2 * held.count * FLOAT32
        yield small * small * FLOAT32
