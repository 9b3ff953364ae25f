"""GPUs by name, and whether a figure fits one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tui_ft.memory.allocator import GIB
from tui_ft.memory.figure import Figure

Fit = Literal["fits", "tight", "no"]


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU.

    Attributes:
        name: as people say it.
        memory_bytes: what a program can have of it, the driver's own share taken off.
        capability: CUDA compute capability.
    """

    name: str
    memory_bytes: int
    capability: tuple[int, int]


def _card(name: str, gib: float, capability: tuple[int, int]) -> Card:
    return Card(name, int(gib * GIB), capability)


# Usable memory as `nvidia-smi` shows the total, which is below the size on the box.
CARDS: Final = (
    _card("8 GB", 7.6, (8, 6)),
    _card("12 GB", 11.6, (8, 6)),
    _card("16 GB", 15.6, (8, 9)),
    _card("24 GB", 23.5, (8, 9)),
    _card("40 GB", 39.4, (8, 0)),
    _card("48 GB", 44.5, (8, 9)),
    _card("80 GB", 79.1, (9, 0)),
    _card("96 GB", 94.9, (12, 0)),
    _card("141 GB", 139.8, (9, 0)),
)


def fit(figure: Figure, free_bytes: int) -> Fit:
    """Tell whether a run fits: surely, perhaps (between expected and high), or not."""
    if figure.high <= free_bytes:
        return "fits"
    return "tight" if figure.expected <= free_bytes else "no"
