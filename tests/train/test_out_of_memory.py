"""Memory that runs out, told from the real errors of torch and those that it makes of others'."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

from tests.runs.test_out_of_memory import NCCL
from tui_ft.spec import build_spec
from tui_ft.train.failures import explain, out_of_memory
from tui_ft.train.several.together import lost_a_peer

SPEC = build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d"}})
NCCL_OUT = dist.DistBackendError(f"{NCCL}Cuda failure 2 'out of memory'")


class _Killed(Dataset[int]):
    """Rows whose process the system kills."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return row


def _load_in_a_killed_process() -> None:
    next(iter(DataLoader(_Killed(), num_workers=1)))


def _raised(do: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        do()
    return caught.value


def _compiled() -> None:
    """Run out of memory in what a compiler runs, which puts an error of its own around it."""
    try:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    except torch.OutOfMemoryError as error:
        raise RuntimeError("backend='inductor' raised") from error


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "gpu_memory", "the GPU ran out of memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "gpu_memory", "the GPU ran out"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "gpu_memory", "the GPU ran out"),
        (NCCL_OUT, "gpu_memory", "the GPU ran out of memory at batch 4 x 1024 tokens, lora"),
        (_raised(_compiled), "gpu_memory", "the GPU ran out of memory"),
        (_raised(lambda: torch.empty(1 << 60)), "host_memory", "the host ran out of memory"),
        (_raised(lambda: np.empty(1 << 50, np.uint8)), "host_memory", "the host ran out of memory"),
        (OSError(12, "Cannot allocate memory"), "host_memory", "the host ran out of memory"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_each_is_told_with_a_way_out(
    tmp_path: Path, error: Exception, cause: str, said: str
) -> None:
    ended = explain(error, SPEC, tmp_path)
    assert (ended.state, ended.cause) == ("failed", cause)
    assert ended.reason.startswith(said)
    assert any("per_device_train_batch_size: 2" in one for one in ended.advice)


def test_a_process_that_prepares_batches_and_is_killed_was_the_hosts_memory() -> None:
    assert out_of_memory(_raised(_load_in_a_killed_process)) == "host"


def test_shared_memory_is_no_disk_and_no_settings_of_training_help(tmp_path: Path) -> None:
    said = "unable to write to file </torch_7_2_0>: No space left on device (28)"
    ended = explain(RuntimeError(said), SPEC, tmp_path)
    assert ended.reason.startswith("shared memory (/dev/shm) ran out: ")
    assert ended.advice[0] == "set training.dataloader_num_workers to 0"
    assert ended.cause == ""


def test_a_rank_without_memory_for_nccl_has_a_reason_of_its_own() -> None:
    assert not lost_a_peer(NCCL_OUT)
    assert lost_a_peer(dist.DistBackendError(f"{NCCL}Cuda failure 1 'invalid argument'"))


def test_the_hosts_memory_beside_a_gpu_is_not_filled_by_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    values = {"training": {"dataloader_num_workers": 8}}
    spec = build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d"}, **values})
    advice = explain(MemoryError(), spec, tmp_path).advice
    assert any("dataloader_num_workers: 0" in one for one in advice)
    assert not any("per_device_train_batch_size" in one for one in advice)
