"""Which memory was missing, by the words of the libraries; and of processes that left no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_ft.runs.endings import worker_died
from tui_ft.runs.folder import RunFolder
from tui_ft.runs.history import RunHistory
from tui_ft.runs.out_of_memory import memory_that_ran_out

BITSANDBYTES = "Error out of memory at line 380 in file /src/csrc/pythonInterface.cpp"
NCCL = (
    "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:93, unhandled cuda error "
    "(run with NCCL_DEBUG=INFO for details), NCCL version 2.29.3\n"
    "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\n"
)


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of", "gpu"),
        ("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in", "gpu"),
        ("CUDA driver error: out of memory", "gpu"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "gpu"),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "gpu"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "gpu"),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "gpu"),
        ("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`", "gpu"),
        ("Triton Error [CUDA]: out of memory", "gpu"),
        (f"{NCCL}Cuda failure 2 'out of memory'", "gpu"),
        (f"{NCCL}Failed to CUDA calloc async 608 bytes", "gpu"),
        ("HIP out of memory. Tried to allocate 2.00 GiB", "gpu"),
        (BITSANDBYTES, "gpu"),
        ("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate", "host"),
        ("unable to mmap 4096 bytes from file <m>: Cannot allocate memory (12)", "host"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "host"),
        ("DataLoader worker (pid 71) is killed by signal: Killed. ", "host"),
        (
            "DataLoader worker (pid 71) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your shared "
            "memory limit.",
            "shared",
        ),
        ("unable to write to file </torch_71_2_0>: No space left on device (28)", "shared"),
        ("unable to write to file </data/run/x>: No space left on device (28)", None),
        ("libgomp.so.1: cannot allocate memory in static TLS block", None),
        (f"{NCCL}Cuda failure 1 'invalid argument'", None),
        ("CUDA error: an illegal memory access was encountered", None),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`", None),
        ("out of resource: shared memory, Required: 147456, Hardware limit: 101376", None),
        ("shapes do not match", None),
    ],
)
def test_the_words_of_each_library_are_known(said: str, missing: str | None) -> None:
    assert memory_that_ran_out(said) == missing


@pytest.mark.parametrize(
    ("log", "exit_code", "cause", "reason"),
    [
        (BITSANDBYTES, 1, "gpu_memory", "the GPU's memory ran out: the worker ended with exit"),
        (
            "terminate called after throwing an instance of 'c10::OutOfMemoryError'\n"
            "  what():  CUDA out of memory. Tried to allocate 20 MiB",
            -6,
            "gpu_memory",
            "the GPU's memory ran out: the worker was killed by signal 6 (SIGABRT)",
        ),
        ("std::bad_alloc", -6, "host_memory", "the host's memory ran out: the worker was killed"),
        (BITSANDBYTES, -15, "", "the worker was killed by signal 15 (SIGTERM)"),
        (BITSANDBYTES, -9, "", "the worker was killed by signal 9 (SIGKILL)"),
        ("Killed", 1, "", "the worker ended with exit code 1 and no reason"),
    ],
)
def test_a_worker_that_left_only_a_line_has_a_cause(
    tmp_path: Path, log: str, exit_code: int, cause: str, reason: str
) -> None:
    folder = RunFolder(tmp_path)
    folder.worker_log.write_text(f"step 3\n{log}\n")
    ended = worker_died(folder, RunHistory(), exit_code)
    assert ended.cause == cause
    assert ended.reason.startswith(reason)
    assert any("on_out_of_memory" in one for one in ended.advice) is (cause == "gpu_memory")
    assert ended.reason.count("no reason") == (not cause and exit_code > 0)
