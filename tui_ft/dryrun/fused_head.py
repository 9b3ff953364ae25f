"""trl's fused output head as it runs on a GPU, its Triton kernels left out.

trl 1.16 computes log-probabilities in tiles and never holds all logits. Its code runs on meta as it
stands but for the kernels, which only read and write tensors that exist already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import trl.kernels.chunked_logprob as kernels
import trl.trainer.utils as head


class _NoKernel:
    """Takes the place of a compiled kernel: ``kernel[grid](…)`` does nothing."""

    def __getitem__(self, grid: object) -> Any:  # noqa: ANN401
        return lambda *args, **kwargs: None


def _accumulated_in_place(*tensors: object) -> None:
    """Stand for `torch.addmm` into a float32 output, which takes nothing on CUDA."""


@contextmanager
def as_on_cuda() -> Iterator[None]:
    """Let trl take its Triton path, which selects the supervised positions, for a while."""
    replaced: dict[Any, dict[str, Any]] = {
        kernels: {
            "_forward_kernel": _NoKernel(),
            "_backward_kernel": _NoKernel(),
            "_use_triton": lambda device: True,
            "_addmm_fp32": _accumulated_in_place,
            "triton": SimpleNamespace(cdiv=lambda a, b: -(-a // b)),
        },
        head: {"_use_triton": lambda device: True},
    }
    missing = object()
    before = {
        module: {name: getattr(module, name, missing) for name in names}
        for module, names in replaced.items()
    }
    for module, names in replaced.items():
        for name, value in names.items():
            setattr(module, name, value)
    try:
        yield
    finally:
        for module, names in before.items():
            for name, value in names.items():
                if value is missing:
                    delattr(module, name)
                else:
                    setattr(module, name, value)
