"""How an estimate is spread over several GPUs, as the command line says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_ft import text
from tui_ft.commands.output import fail

if TYPE_CHECKING:
    from tui_ft.memory.sharding import Sharding
    from tui_ft.memory.step import Step
    from tui_ft.spec import RunSpec


def spread_of(run: RunSpec, count: int | None) -> Sharding | None:
    """Return how the run is spread: over the GPUs that it names, or else those of --gpu."""
    from tui_ft.memory.sharding import sharding_of

    hardware = run.hardware
    named = hardware.gpus != "auto" or hardware.num_gpus is not None
    gpus = (hardware.processes if named else count) or 1
    if hardware.distributed is not None and gpus == 1:
        fail(
            "hardware.distributed spreads a run over several GPUs: say how many by "
            "--set hardware.num_gpus=8, or by --gpu 8x80"
        )
    strategy = hardware.strategy(gpus)
    return None if strategy is None else sharding_of(strategy, gpus)


def how_spread(spread: Sharding) -> str:
    """Return what people call it."""
    name = {"ddp": "DDP", "fsdp": "FSDP2"}.get(spread.kind, f"DeepSpeed ZeRO-{spread.kind[-1]}")
    moved = spread.offloads_states or spread.offloads_weights
    return f"{name}{', offloaded to the host' if moved else ''}"


def in_host(step: Step, spread: Sharding | None) -> tuple[int, int]:
    """Return the bytes of the host's memory that a step holds, and that loading it takes."""
    from tui_ft.memory.estimate.offload import host_of, loaded_in_host

    try:
        return host_of(step, spread).held, loaded_in_host(step, spread)
    except ValueError:
        return 0, 0  # why there is no figure is said with the GPU's


def host_words(step: Step, spread: Sharding | None) -> str:
    """Return what a step takes of the host's memory, in words; empty for next to nothing."""
    held, loaded = in_host(step, spread)
    parts = [f"{text.memory(held)} held there, pinned"] if held else []
    parts += [f"{text.memory(loaded)} while it is loaded"] if loaded else []
    return f"of the host's memory {', '.join(parts)}" if parts and spread is not None else ""
