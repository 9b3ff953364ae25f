"""Out of which memory something ran, by what was said: every library has words of its own.

Only torch's own allocator raises an error that can be told by its class. CUDA's libraries, the
driver, NCCL, Triton and bitsandbytes ask for memory beside it; and bitsandbytes writes a line and
ends the process, so that the line is all there is.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Memory = Literal["gpu", "host", "shared"]
"""`shared` is /dev/shm, over which processes that prepare batches hand them on."""

_GPU: Final = re.compile(
    r"(CUDA|HIP|XPU) out of memory"  # torch's allocator
    r"|(CUDA|HIP|CUDA driver) error: out of memory"  # CUDA's own calls (torch.AcceleratorError)
    r"|Triton Error \[(CUDA|HIP)\]: out of memory"
    r"|Cuda failure (2 )?'out of memory'|Failed to CUDA calloc"  # NCCL
    r"|cudaErrorMemoryAllocation|hipErrorOutOfMemory"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED|CUFFT_ALLOC_FAILED"
    r"|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate"  # its workspace does not fit
    r"|Error out of memory at line \d+ in file"  # bitsandbytes, csrc
)
_SHARED: Final = re.compile(
    r"killed by signal: Bus error|are out of shared memory"
    r"|(shared memory|shm|/torch_\d).*No space left on device"
)
_HOST: Final = re.compile(
    r"DefaultCPUAllocator|std::bad_alloc"
    r"|DataLoader worker \(pid \d+\) is killed by signal: Killed"
    # Not "cannot allocate memory in static TLS block", which is the linker's.
    r"|Cannot allocate memory"
)


def memory_that_ran_out(said: str) -> Memory | None:
    """Return which memory was missing by the words of an error, or None if not for want of it."""
    if _GPU.search(said):
        return "gpu"
    if _SHARED.search(said):
        return "shared"
    return "host" if _HOST.search(said) else None
