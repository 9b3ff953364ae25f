"""All that is looked at before a run starts, for the GPUs that it would get now."""

from __future__ import annotations

from tui_ft import paths
from tui_ft.hardware import Snapshot, take_snapshot
from tui_ft.runs import gpu_choice
from tui_ft.runs.checks import preflight
from tui_ft.runs.checks.finding import Finding
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
    from tui_ft.runs.checks.memory import memory_findings

    return (*found, *memory_findings(spec, gpus))


def with_memory(spec: RunSpec, snapshot: Snapshot | None) -> tuple[Finding, ...]:
    """Return what stands against a run, then what it takes of the GPUs that it would get.

    Where it gets none, which card would hold it. Takes some seconds.

    Args:
        spec: the run.
        snapshot: the machine as it was seen last; looked at again when None.

    Raises:
        RunError: the GPUs that it names are not there.
    """
    from tui_ft.runs.checks.memory import memory_findings, memory_of

    gpus = gpu_choice.choose(spec.hardware, snapshot or take_snapshot(paths.home())).now
    found = preflight.check(spec, paths.runs_dir(), gpus)
    against = [one for one in found if one.severity != "note"]
    memory = memory_findings(spec, gpus) or (memory_of(spec, ()),)
    known = {one.text for one in against}
    return (*against, *(one for one in memory if one.text not in known))
