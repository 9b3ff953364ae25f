"""The option `--gpu`: other GPUs than this machine's, said the same way to every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tui_ft.commands.output import fail

if TYPE_CHECKING:
    from tui_ft.memory.cards import Card


def gpu_option(use: str, others: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option, with what it is for, and what it takes beside sizes and names."""
    from tui_ft.memory.asked_cards import GPU_HELP

    return click.option("--gpu", metavar="GPUS", help=f"{use}: {GPU_HELP}{others}.")


def asked(gpu: str) -> tuple[Card, ...]:
    """Return the GPUs of the option; what means none is refused."""
    from tui_ft.memory.asked_cards import GpuError, asked_cards

    try:
        return asked_cards(gpu)
    except GpuError as error:
        fail(f"--gpu {error}")
        raise
