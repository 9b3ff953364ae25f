"""The machine at one moment. A reading that could not be had is None, never a false zero."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a GPU; user and command are None where hidden."""

    pid: int
    user: str | None = None
    memory_bytes: int | None = None
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        index: NVML's number, which is that of `nvidia-smi` and of CUDA in PCI order.
        utilization: share of the last second in which a kernel ran, 0 to 1.
        temperature_limit_c: where it slows itself down.
        memory_utilization: share in which memory was read or written, 0 to 1.
        throttle_reasons: what holds the clocks down, in words; empty when nothing does.
        fan: share of full speed; servers' cards have none.
        mig_enabled: whether it is divided into slices; the readings are of the whole card.
        error: why it cannot be read; its readings are then None.
    """

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None
    utilization: float | None = None
    memory_utilization: float | None = None
    temperature_c: float | None = None
    temperature_limit_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    fan: float | None = None
    compute_capability: tuple[int, int] | None = None
    mig_enabled: bool | None = None
    processes: tuple[GpuProcess, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """The machine around the GPUs; the disk is the one that holds the folder asked about."""

    hostname: str
    cpu_count: int | None = None
    cpu_utilization: float | None = None
    load_1m: float | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    uptime_s: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Host and GPUs at `time` (Unix seconds); `gpu_status` says why there are no GPUs."""

    time: float
    host: Host
    gpus: tuple[Gpu, ...] = ()
    gpu_status: str | None = None
    driver_version: str | None = None
