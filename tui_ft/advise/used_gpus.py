"""Which GPUs a run can have, and what each of them has free."""

from __future__ import annotations

from typing import Final

from tui_ft.advise.situation import GpuFacts
from tui_ft.advise.state import State
from tui_ft.advise.ways import Way

_MUCH_LESS: Final = 0.5
"""A GPU with less than this share of the best one's free memory is left out of several: what fits
there decides for all."""


def used_gpus(state: State) -> tuple[GpuFacts, ...]:
    """Return the GPUs that the run can have, the one with most free memory first.

    Of several, those that somebody else holds most of are left out.
    """
    best_first = tuple(sorted(state.gpus, key=lambda gpu: -(gpu.free or 0)))
    match state.choice("gpus"):
        case "none":
            return ()
        case "one":
            return best_first[:1]
        case _:
            least = _MUCH_LESS * (best_first[0].free or 0) if best_first else 0.0
            return tuple(gpu for gpu in best_first if (gpu.free or 0) >= least)


def best_gpu(state: State) -> GpuFacts | None:
    """Return the GPU with most free memory; None on a machine without, or where none is known."""
    return next(iter(used_gpus(state)), None)


def host_memory(state: State) -> int | None:
    """Return the bytes of the host's memory that are available; None where nobody said."""
    host = state.situation.host_memory
    return None if host is None else host.value


def free_memory(state: State, way: Way) -> int | None:
    """Return the bytes that each GPU of a way has at least; the host's where there is no GPU."""
    if state.choice("gpus") == "none":
        return host_memory(state)
    free = [gpu.free for gpu in used_gpus(state) if gpu.free is not None]
    if not free:
        return None
    return min(free) if way.spreads else max(free)
