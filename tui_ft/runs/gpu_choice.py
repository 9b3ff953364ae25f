"""Which GPUs a run may get: what the spec asks for, against what is in the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tui_ft.hardware import Gpu, Snapshot, visible_gpus
from tui_ft.hardware.nvml import NO_DRIVER, NO_GPUS
from tui_ft.runs.folder import RunError
from tui_ft.spec.run_spec import HardwareSpec


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """The GPUs in question.

    Attributes:
        wanted: UUIDs of the GPUs named in the spec; empty when any will do.
        usable: UUIDs of the GPUs that it may get, the one with most free memory first.
        known: every GPU by UUID.
        count: how many it takes, where any will do.
    """

    wanted: tuple[str, ...]
    usable: tuple[str, ...]
    known: dict[str, Gpu]
    count: int = 1

    @property
    def needs_gpu(self) -> bool:
        """Whether the run waits for a GPU at all."""
        return bool(self.wanted or self.usable)

    @property
    def now(self) -> tuple[Gpu, ...]:
        """The GPUs that the run would get if no other held any."""
        return self.gpus(self.wanted or self.usable[: self.count])

    def gpus(self, uuids: Sequence[str]) -> tuple[Gpu, ...]:
        """Return the GPUs with these UUIDs, in their order."""
        return tuple(self.known[uuid] for uuid in uuids)

    def names(self, uuids: Sequence[str]) -> str:
        """Return these GPUs in words: `GPU 0`, `GPUs 0, 1`."""
        numbers = ", ".join(str(gpu.index) for gpu in self.gpus(uuids))
        return f"GPU{'s' if len(uuids) > 1 else ''} {numbers}"


def choose(hardware: HardwareSpec, snapshot: Snapshot, *, enough: bool = True) -> GpuChoice:
    """Return the GPUs that a run's ``hardware`` means on this machine.

    Args:
        hardware: the run's.
        snapshot: what is there.
        enough: refuse fewer than the run takes, where any will do.

    Raises:
        RunError: a GPU asked for by number is not there, or is in a state of error; or any would
            do, and there are some, but none can be used; or there are fewer than it takes.
    """
    asked = hardware.gpus
    known = {gpu.uuid: gpu for gpu in snapshot.gpus}
    if asked == "none":
        return GpuChoice((), (), known)
    if asked == "auto":
        sound = [gpu for gpu in visible_gpus(snapshot.gpus, os.environ) if gpu.error is None]
        if not sound:
            _refuse_broken(snapshot)
        best_first = sorted(sound, key=lambda gpu: -(gpu.memory_free_bytes or 0))
        count = hardware.processes or len(best_first)
        if enough:
            _refuse_too_few(hardware, len(best_first), count, snapshot)
        return GpuChoice((), tuple(gpu.uuid for gpu in best_first), known, count)
    by_number = {gpu.index: gpu for gpu in snapshot.gpus}
    for number in asked:
        gpu = by_number.get(number)
        if gpu is None:
            there = ", ".join(map(str, sorted(by_number))) or (snapshot.gpu_status or "none")
            raise RunError(
                f"GPU {number} is not in this machine (there: {there}); change hardware.gpus"
            )
        if gpu.error is not None:
            raise RunError(f"GPU {number} ({gpu.name}) cannot be used: {gpu.error}")
    wanted = tuple(by_number[number].uuid for number in asked)
    return GpuChoice(wanted, wanted, known)


def _refuse_too_few(hardware: HardwareSpec, there: int, count: int, snapshot: Snapshot) -> None:
    """Raise when a run of several processes finds fewer GPUs: its batch would be another one."""
    if hardware.processes == 1 or there >= max(count, 2):
        return
    asked = f"num_gpus: {hardware.num_gpus}" if hardware.num_gpus else "distributed"
    found = f"of this machine's {there} can be used" if there else "none can be used here"
    why = f" ({snapshot.gpu_status})" if snapshot.gpu_status and not there else ""
    raise RunError(
        f"hardware.{asked} takes {max(count, 2)} GPUs or more, and {found}{why}; "
        "name those there are in hardware.gpus, leave it out for one, or try it on the CPU with "
        "gpus: none and cpu_processes"
    )


def _refuse_broken(snapshot: Snapshot) -> None:
    """Raise when there are GPUs or a driver that do not work: no run takes the CPU in silence."""
    broken = [gpu for gpu in snapshot.gpus if gpu.error is not None]
    if broken and len(broken) == len(snapshot.gpus):
        reason = f"no GPU can be used: GPU {broken[0].index}: {broken[0].error}"
    elif snapshot.gpu_status not in (None, NO_DRIVER, NO_GPUS):
        reason = f"the GPUs cannot be used: {snapshot.gpu_status}"
    else:
        return
    raise RunError(f"{reason}. `ftui doctor` says more; hardware.gpus: none takes the CPU")
