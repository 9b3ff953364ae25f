"""All that is looked at before a run starts, for the GPUs that it would get now."""

from __future__ import annotations

from tui_ft import paths
from tui_ft.hardware import take_snapshot
from tui_ft.runs import gpu_choice, preflight
from tui_ft.runs.finding import Finding
from tui_ft.spec import RunSpec


def findings(
    spec: RunSpec, *, memory: bool, adapter_comes_later: bool = False
) -> tuple[Finding, ...]:
    """Return the preflight's findings.

    Args:
        spec: the run.
        memory: replay a step and compare it with the GPU's free memory too; takes some seconds.
        adapter_comes_later: an earlier stage will leave the adapter that it trains further.

    Raises:
        RunError: the GPUs that it names are not there.
    """
    gpus = gpu_choice.choose(spec.hardware, take_snapshot(paths.home())).now
    later = adapter_comes_later
    found = preflight.check(spec, paths.runs_dir(), gpus, adapter_comes_later=later)
    if not memory or not gpus or preflight.refusal(found):
        return found
    from tui_ft.runs.memory_check import memory_findings

    return (*found, *memory_findings(spec, gpus))
