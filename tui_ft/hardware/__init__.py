"""GPUs through NVML and the host through psutil: one snapshot type, one sampler."""

from tui_ft.hardware.nvml import visible_gpus
from tui_ft.hardware.sampler import Sampler, take_snapshot
from tui_ft.hardware.snapshot import Gpu, GpuProcess, Host, Snapshot

__all__ = [
    "Gpu",
    "GpuProcess",
    "Host",
    "Sampler",
    "Snapshot",
    "take_snapshot",
    "visible_gpus",
]
