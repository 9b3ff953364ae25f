"""NVIDIA GPUs through the real NVML binding, behind one facade that never raises.

A field that a card does not have is None. A card that falls off the bus is still listed, with the
reason. A driver that fails is asked again at the next look.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import psutil

from tui_ft.hardware.snapshot import Gpu, GpuProcess

_NO_GPUS: Final = "no NVIDIA GPU in this machine"

# Bits of nvmlClocksThrottleReasons (nvml.h), in words. Idle is no throttling.
_THROTTLE_BITS: Final = {
    0x2: "application clocks",
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal limit",
    0x40: "hardware thermal limit",
    0x80: "power brake",
    0x100: "display clocks",
}
_STATUS_OF_INIT: Final = {
    "NVMLError_LibraryNotFound": "no NVIDIA driver found (libnvidia-ml.so.1 is missing)",
    "NVMLError_DriverNotLoaded": "the NVIDIA driver is not loaded (`nvidia-smi` should say why)",
    "NVMLError_LibRmVersionMismatch": (
        "the NVIDIA driver was updated under the running kernel module: reboot, or reload it"
    ),
    "NVMLError_NoPermission": "no permission to talk to the NVIDIA driver",
}
_MEMORY_INFO_V2: Final = 0x02000028  # size 40 bytes, version 2: tells reserved memory from used


class Nvml:
    """One session with the driver, opened when first needed and again after it failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = False
        self._known: dict[int, Gpu] = {}
        self.driver_version: str | None = None
        self.cuda_driver_version: tuple[int, int] | None = None

    def read(self) -> tuple[tuple[Gpu, ...], str | None]:
        """Return the GPUs, and why there are none (or that the driver has failed)."""
        with self._lock:
            import pynvml

            try:
                self._open(pynvml)
                count = pynvml.nvmlDeviceGetCount()
            except pynvml.NVMLError as error:
                self._close(pynvml)
                status = _STATUS_OF_INIT.get(type(error).__name__, f"NVML: {error}")
                return tuple(replace(g, error=status) for g in self._known.values()), status
            gpus = tuple(self._read_gpu(pynvml, i) for i in range(max(count, len(self._known))))
            return gpus, None if gpus else _NO_GPUS

    def close(self) -> None:
        """End the session; the next `read` opens another."""
        with self._lock:
            import pynvml

            self._close(pynvml)

    def _open(self, nvml: Any) -> None:  # noqa: ANN401 - an untyped module
        if self._ready:
            return
        nvml.nvmlInit()
        self._ready = True
        self.driver_version = _reading(nvml, lambda: _text(nvml.nvmlSystemGetDriverVersion()))
        version = _reading(nvml, nvml.nvmlSystemGetCudaDriverVersion)
        if version is not None:
            self.cuda_driver_version = (version // 1000, version % 1000 // 10)

    def _close(self, nvml: Any) -> None:  # noqa: ANN401
        if self._ready:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()
        self._ready = False

    def _read_gpu(self, nvml: Any, index: int) -> Gpu:  # noqa: ANN401
        known = self._known.get(index)
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            identity = Gpu(
                index=index,
                uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
                name=_text(nvml.nvmlDeviceGetName(handle)),
            )
            # A card that is lost may still have a name: its memory tells.
            readings = _readings(nvml, handle)
        except nvml.NVMLError as error:
            gone = known or Gpu(index=index, uuid=f"unknown-{index}", name="GPU")
            return Gpu(gone.index, gone.uuid, gone.name, error=_text(str(error)))
        self._known[index] = identity
        return replace(identity, **readings)


def visible_gpus(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Return those of ``gpus`` that `CUDA_VISIBLE_DEVICES` leaves, in its order.

    As CUDA does: numbers, or UUIDs that may be shortened; the first one that means no GPU ends the
    list. Numbers are taken in PCI order.
    """
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in setting.split(",")):
        match = [g for g in gpus if str(g.index) == entry or (entry and g.uuid.startswith(entry))]
        if len(match) != 1 or match[0] in chosen:
            break
        chosen.append(match[0])
    return tuple(chosen)


def _readings(nvml: Any, handle: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return every reading of one card by the name of `Gpu`'s field.

    Raises:
        nvml.NVMLError: the card is gone, which its memory is the first to tell.
    """
    readings: dict[str, Any] = {**_memory(nvml, handle)}
    utilization = _reading(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    fields: dict[str, Callable[[], Any]] = {
        "utilization": lambda: utilization.gpu / 100 if utilization else None,
        "memory_utilization": lambda: utilization.memory / 100 if utilization else None,
        "temperature_c": lambda: float(
            nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        ),
        "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        "max_sm_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        "throttle_reasons": lambda: throttle_words(
            nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        ),
        "fan": lambda: nvml.nvmlDeviceGetFanSpeed(handle) / 100,
        "compute_capability": lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
        "processes": lambda: _processes(nvml, handle),
    }
    readings |= {name: _reading(nvml, read) for name, read in fields.items()}
    readings["processes"] = readings["processes"] or ()
    return readings


def throttle_words(bits: int) -> tuple[str, ...]:
    """Return the throttle reasons whose bits are set, in words."""
    return tuple(words for bit, words in _THROTTLE_BITS.items() if bits & bit)


def _memory(nvml: Any, handle: Any) -> dict[str, int | None]:  # noqa: ANN401
    names = ("memory_total_bytes", "memory_used_bytes", "memory_free_bytes")
    info = _reading(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle, _MEMORY_INFO_V2))
    if info is None:
        try:
            info = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError_NotSupported:  # unified memory has no figures of its own
            return dict.fromkeys(names)
    return {"memory_total_bytes": info.total, "memory_used_bytes": info.used} | {
        "memory_free_bytes": info.free
    }


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:  # noqa: ANN401
    running = [
        *(_reading(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or ()),
        *(_reading(nvml, lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)) or ()),
    ]
    memory = {process.pid: process.usedGpuMemory for process in running}
    return tuple(
        GpuProcess(pid, user, memory[pid], command)
        for pid, user, command in ((pid, *_owner(pid)) for pid in memory)
    )


def _owner(pid: int) -> tuple[str | None, str | None]:
    try:
        process = psutil.Process(pid)
        return process.username(), process.name()
    except psutil.Error:
        return None, None


def _reading(nvml: Any, read: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what ``read`` gives, or None where driver or binding do not have it."""
    try:
        return read()
    except (nvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
