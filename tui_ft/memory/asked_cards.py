"""GPUs as people ask for them: by the memory of one, by name, and several of a kind."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from tui_ft.memory.allocator import GIB
from tui_ft.memory.cards import CARDS, Card

GPU_HELP: Final = "24 (GB), 8x80, T4, 2xA100-80GB"
"""Examples of what `asked_cards` takes."""

_MOST: Final = 1024
_ASKED: Final = re.compile(r"(?:(\d{1,4})\s*[x*\u00d7]\s*)?(.+)")
_SIZE: Final = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*(?:gib|gb|g)?")
_NAME_AND_SIZE: Final = re.compile(r"(.*?[a-z].*?|[345]0\d0(?:ti)?)(?:-(\d{1,3})(?:gib|gb|g)?)?")
_MAKERS: Final = re.compile(r"^(?:nvidia|tesla|geforce|rtx)+-?")


class GpuError(ValueError):
    """GPUs asked for that are none; the message is for people."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A card that can be named.

    Attributes:
        key: its name as people type it.
        gb: its memory as its maker says it.
        shown: its name as `memory.duration` finds its speed by it.
        gib: what a program can have of it, about: below the total that `nvidia-smi` shows.
        capability: CUDA compute capability.
    """

    key: str
    gb: int
    shown: str
    gib: float
    capability: tuple[int, int]


_NAMED: Final = (
    _Named("t4", 16, "Tesla T4", 14.6, (7, 5)),
    _Named("v100", 32, "Tesla V100 32 GB", 31.7, (7, 0)),
    _Named("v100", 16, "Tesla V100 16 GB", 15.8, (7, 0)),
    _Named("l4", 24, "L4", 22.2, (8, 9)),
    _Named("a10", 24, "A10", 22.1, (8, 6)),
    _Named("a10g", 24, "A10G", 22.1, (8, 6)),
    _Named("a40", 48, "A40", 44.5, (8, 6)),
    _Named("l40", 48, "L40", 44.5, (8, 9)),
    _Named("l40s", 48, "L40S", 44.5, (8, 9)),
    _Named("a6000", 48, "RTX A6000", 47.5, (8, 6)),
    _Named("3090", 24, "RTX 3090", 23.5, (8, 6)),
    _Named("4090", 24, "RTX 4090", 23.5, (8, 9)),
    _Named("5090", 32, "RTX 5090", 31.4, (12, 0)),
    _Named("a100", 80, "A100 80 GB", 79.1, (8, 0)),
    _Named("a100", 40, "A100 40 GB", 39.4, (8, 0)),
    _Named("h100", 80, "H100", 79.1, (9, 0)),
    _Named("h200", 141, "H200", 139.8, (9, 0)),
)
"""The first of a key is the one that is meant where no size is said."""


def asked_cards(said: str) -> tuple[Card, ...]:
    """Return the GPUs that a person means, one `Card` for each; none for `none`.

    Understood are the memory of one in GB (`24`, `80GB`), a name (`T4`, `RTX 4090`, `A100-40GB`)
    and several of either (`8x80`, `2xA100-80GB`).

    Raises:
        GpuError: it means none of these.
    """
    typed = " ".join(said.lower().split())
    if typed in ("none", "cpu", "0"):
        return ()
    found = _ASKED.fullmatch(typed)
    card = None if found is None else _named(found[2], said) or _sized(found[2])
    count = int(found[1] or 1) if found is not None else 0
    if card is None or not 0 < count <= _MOST:
        raise GpuError(
            f"{said}: write the memory of one in GB, such as 24, of several 8x80, or its name, "
            f"such as T4 or 2xA100-80GB ({', '.join(_names())})"
        )
    return (card,) * count


def _named(typed: str, said: str) -> Card | None:
    """Return the card called so; None where it is no name of one."""
    parts = _NAME_AND_SIZE.fullmatch(_MAKERS.sub("", re.sub(r"[\s_-]+", "-", typed)))
    cards = [one for one in _NAMED if parts is not None and one.key == parts[1].replace("-", "")]
    if parts is None or not cards:
        return None
    for one in cards:
        if parts[2] is None or one.gb == int(parts[2]):
            return Card(one.shown, int(one.gib * GIB), one.capability)
    sizes = " or ".join(str(one.gb) for one in cards)
    raise GpuError(f"{said}: {cards[0].key.upper()} has {sizes} GB")


def _sized(typed: str) -> Card | None:
    """Return a card with so many GB; None where it is no size."""
    found = _SIZE.fullmatch(typed)
    if found is None or float(found[1]) <= 0:
        return None
    name = f"{float(found[1]):g} GB"
    usual = next((card for card in CARDS if card.name == name), None)
    return usual or Card(name, math.floor(float(found[1]) * GIB), (8, 0))


def _names() -> list[str]:
    """Return the names that are taken; with its size that of a card which has another one too."""
    several = {one.key for one in _NAMED if sum(one.key == other.key for other in _NAMED) > 1}
    return [one.key.upper() + (f"-{one.gb}GB" if one.key in several else "") for one in _NAMED]
