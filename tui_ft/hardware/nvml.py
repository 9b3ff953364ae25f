"""NVIDIA GPUs through the real NVML binding, behind one facade that never raises.

A reading that a card does not have is None. A card that falls off the bus is still listed, with the
reason. A driver that fails is asked again at the next look.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import psutil

from tui_ft.hardware.snapshot import Gpu, GpuProcess

NO_GPUS: Final = "no NVIDIA GPU in this machine"
NO_DRIVER: Final = "no NVIDIA driver found (libnvidia-ml.so.1 is missing)"
_NO_READINGS: Final = "the driver lists it but gives no reading of it; `nvidia-smi` should say why"
_VANISHED: Final = "the driver does not list it any more; look for `Xid` in `dmesg`"

# nvmlReturn_t (nvml.h) in words that say what to do; for other codes NVML's own words do.
_ERRORS: Final = {
    4: "no permission to talk to the NVIDIA driver",
    9: "the NVIDIA driver is not loaded; `nvidia-smi` should say why",
    12: NO_DRIVER,
    15: "GPU is lost: it fell off the bus; look for `Xid` in `dmesg`, then reset it or reboot",
    16: "GPU needs a reset: end its processes, then `nvidia-smi --gpu-reset`, or reboot",
    18: "the NVIDIA driver was updated under the running kernel module: reboot, or reload it",
}
_SESSION_LOST: Final = frozenset((1, 9))  # uninitialized, driver not loaded: open anew
_GPU_LOST: Final = frozenset((*_SESSION_LOST, 15, 16))

# Bits of nvmlClocksEventReasons (nvml.h) in words. Bit 0 is idleness, which is no throttling.
_THROTTLE_BITS: Final = {
    0x2: "application clocks",
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal limit",
    0x40: "hardware thermal limit",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability limit",
}


class Nvml:
    """One session with the driver, opened when first needed and again after it failed.

    Attributes:
        driver_version: None until the driver has answered once.
        cuda_driver_version: the newest CUDA that the driver runs, as (major, minor).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = False
        self._known: dict[str, Gpu] = {}  # by UUID: numbers move when a card is gone
        self.driver_version: str | None = None
        self.cuda_driver_version: tuple[int, int] | None = None

    def read(self) -> tuple[tuple[Gpu, ...], str | None]:
        """Return the GPUs in order of their index, and why there are none or none can be read."""
        with self._lock:
            import pynvml

            try:
                self._open(pynvml)
                found = [self._read_gpu(pynvml, i) for i in range(pynvml.nvmlDeviceGetCount())]
            except pynvml.NVMLError as error:
                self._close(pynvml)
                status = _words(error)
                return tuple(replace(g, error=status) for g in self._in_order()), status
            uuids = {gpu.uuid for gpu in found}
            gone = [replace(g, error=_VANISHED) for g in self._in_order() if g.uuid not in uuids]
            # Of two with one index the card that is there comes last: it wins in a mapping.
            gpus = tuple(sorted([*gone, *found], key=lambda gpu: gpu.index))
            return gpus, None if gpus else NO_GPUS

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
        with contextlib.suppress(nvml.NVMLError, ValueError):
            self.driver_version = nvml.nvmlSystemGetDriverVersion()
        with contextlib.suppress(nvml.NVMLError):
            version = nvml.nvmlSystemGetCudaDriverVersion()
            self.cuda_driver_version = (version // 1000, version % 1000 // 10)

    def _close(self, nvml: Any) -> None:  # noqa: ANN401
        if self._ready:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()
        self._ready = False

    def _in_order(self) -> list[Gpu]:
        return sorted(self._known.values(), key=lambda gpu: gpu.index)

    def _read_gpu(self, nvml: Any, index: int) -> Gpu:  # noqa: ANN401
        """Return one GPU; one that is lost with its last known name and UUID.

        Raises:
            nvml.NVMLError: not this GPU but the whole session is lost.
        """
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
            readings = _readings(nvml, handle)
            processes = _processes(nvml, handle)
        except (nvml.NVMLError, UnicodeDecodeError) as error:  # a dying card may have a torn name
            if _code(error) in _SESSION_LOST:
                raise
            unknown = Gpu(index, f"unknown-{index}", "GPU")
            known = next((gpu for gpu in self._known.values() if gpu.index == index), unknown)
            return replace(known, error=_words(error))
        self._known[uuid] = Gpu(index, uuid, name)
        if not readings:
            return Gpu(index, uuid, name, error=_NO_READINGS)
        return Gpu(index, uuid, name, **readings, processes=processes)


def visible_gpus(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Return those of ``gpus`` that `CUDA_VISIBLE_DEVICES` leaves, in its order.

    As CUDA does (CUDA C programming guide, environment variables): numbers, here in PCI order, or
    UUIDs that may be shortened as long as they are unambiguous; the first entry that means no GPU
    ends the list; one that is named twice leaves none at all. Slices of a GPU (`MIG-...`) are not
    GPUs here.
    """
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in setting.split(","):
        matches = _named(gpus, entry.strip())
        if len(matches) != 1:
            break
        if matches[0] in chosen:
            return ()
        chosen.append(matches[0])
    return tuple(chosen)


def throttle_words(bits: int) -> tuple[str, ...]:
    """Return the throttle reasons whose bits are set, in words."""
    return tuple(words for bit, words in _THROTTLE_BITS.items() if bits & bit)


def _named(gpus: Sequence[Gpu], entry: str) -> list[Gpu]:
    if entry.startswith("GPU-"):
        return [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
    number = re.match(r"\+?(\d+)", entry)  # what follows the digits is ignored, as by CUDA
    if number is None:
        return []
    matches = [gpu for gpu in gpus if gpu.index == int(number[1])]
    # A card that is gone may have left its number to another: CUDA counts those that are there.
    return [gpu for gpu in matches if gpu.error is None] or matches[:1]


# Everything that is read of a card: for each reading the ways to get it, the best one first. Each
# way takes the binding and the card's handle, and returns fields of `Gpu`.
_Way = Callable[[Any, Any], dict[str, Any]]
_READINGS: Final[tuple[tuple[_Way, ...], ...]] = (
    (  # version 2 tells what the driver keeps for itself from what is used
        lambda n, h: _memory(n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2)),
        lambda n, h: _memory(n.nvmlDeviceGetMemoryInfo(h)),
    ),
    (lambda n, h: _utilization(n.nvmlDeviceGetUtilizationRates(h)),),
    (
        lambda n, h: {
            "temperature_c": float(n.nvmlDeviceGetTemperatureV(h, n.NVML_TEMPERATURE_GPU))
        },
        lambda n, h: {
            "temperature_c": float(n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU))
        },
    ),
    (
        lambda n, h: {
            "temperature_limit_c": float(
                n.nvmlDeviceGetTemperatureThreshold(h, n.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
            )
        },
    ),
    (lambda n, h: {"power_w": n.nvmlDeviceGetPowerUsage(h) / 1000},),
    (lambda n, h: {"power_limit_w": n.nvmlDeviceGetEnforcedPowerLimit(h) / 1000},),
    (lambda n, h: {"sm_clock_mhz": n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM)},),
    (lambda n, h: {"max_sm_clock_mhz": n.nvmlDeviceGetMaxClockInfo(h, n.NVML_CLOCK_SM)},),
    (lambda n, h: {"memory_clock_mhz": n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM)},),
    (
        lambda n, h: _throttling(n.nvmlDeviceGetCurrentClocksEventReasons(h)),
        lambda n, h: _throttling(n.nvmlDeviceGetCurrentClocksThrottleReasons(h)),
    ),
    (lambda n, h: {"fan": n.nvmlDeviceGetFanSpeed(h) / 100},),
    (lambda n, h: {"compute_capability": tuple(n.nvmlDeviceGetCudaComputeCapability(h))},),
    # The mode now, not the one after the next reset.
    (lambda n, h: {"mig_enabled": n.nvmlDeviceGetMigMode(h)[0] == n.NVML_DEVICE_MIG_ENABLE},),
)
_PROCESS_LISTS: Final[tuple[tuple[_Way, ...], ...]] = (
    (
        lambda n, h: _process_memory(n.nvmlDeviceGetComputeRunningProcesses_v3(h)),
        lambda n, h: _process_memory(n.nvmlDeviceGetComputeRunningProcesses_v2(h)),
    ),
    (
        lambda n, h: _process_memory(n.nvmlDeviceGetGraphicsRunningProcesses_v3(h)),
        lambda n, h: _process_memory(n.nvmlDeviceGetGraphicsRunningProcesses_v2(h)),
    ),
)


def _readings(nvml: Any, handle: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what can be had of one card, by the names of `Gpu`'s fields.

    Raises:
        nvml.NVMLError: the card or the session is lost.
    """
    fields: dict[str, Any] = {}
    for ways in _READINGS:
        fields |= _first_that_works(nvml, handle, ways)
    return fields


def _first_that_works(
    nvml: Any,  # noqa: ANN401
    handle: Any,  # noqa: ANN401
    ways: Sequence[_Way],
) -> dict[str, Any]:
    """Return what the first way gives that driver and binding have, nothing when none does."""
    for way in ways:
        try:
            return way(nvml, handle)
        except nvml.NVMLError as error:
            if _code(error) in _GPU_LOST:
                raise
        except AttributeError:  # an older binding
            continue
    return {}


def _memory(info: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "memory_total_bytes": info.total,
        "memory_used_bytes": info.used,
        "memory_free_bytes": info.free,
    }


def _utilization(rates: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"utilization": rates.gpu / 100, "memory_utilization": rates.memory / 100}


def _throttling(bits: int) -> dict[str, Any]:
    return {"throttle_reasons": throttle_words(bits)}


def _process_memory(processes: Sequence[Any]) -> dict[str, Any]:
    return {str(process.pid): process.usedGpuMemory for process in processes}


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:  # noqa: ANN401
    """Return who holds memory of the card. One process may compute and draw: it is listed once."""
    memory: dict[str, int | None] = {}
    for ways in _PROCESS_LISTS:
        for pid, used in _first_that_works(nvml, handle, ways).items():
            memory[pid] = max((n for n in (memory.get(pid), used) if n is not None), default=None)
    return tuple(_process(int(pid), used) for pid, used in memory.items())


def _process(pid: int, memory_bytes: int | None) -> GpuProcess:
    """Look up whose it is. A process in another container is there for NVML alone."""
    user = command = None
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        with contextlib.suppress(psutil.Error, OSError):
            user = process.username()
        command = process.name()
    return GpuProcess(pid, user, memory_bytes, command)


def _code(error: Exception) -> int | None:
    return getattr(error, "value", None)


def _words(error: Exception) -> str:
    return _ERRORS.get(_code(error) or 0) or f"NVML: {error}"
