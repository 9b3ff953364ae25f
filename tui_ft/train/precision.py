"""In which types a run computes and holds its weights, by what the hardware can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE
from tui_ft.train.errors import RunFailure

Arithmetic = Literal["bf16", "fp16", "fp32"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Precision:
    """Types of a run.

    Attributes:
        arithmetic: of the forward and backward pass, by autocast where it differs from the weights.
        weights: in which the base model is loaded.
    """

    arithmetic: Arithmetic
    weights: torch.dtype

    @property
    def compute_dtype(self) -> torch.dtype:
        """The torch type of the arithmetic."""
        return _DTYPES[self.arithmetic]


def choose_precision(spec: RunSpec, on_gpu: bool) -> Precision:
    """Return the precision that the spec asks for, or that suits the hardware.

    Frozen weights are held in the type of the arithmetic: nothing is added to them. Full
    fine-tuning holds float32 weights under autocast, for updates at a learning rate of 1e-5 are
    lost in the rounding of bfloat16 (8 bits of mantissa); `model.dtype: bfloat16` halves the
    memory at that price.

    Raises:
        RunFailure: the hardware cannot do what was asked for.
    """
    asked = spec.training.precision
    arithmetic: Arithmetic = _best(on_gpu) if asked == "auto" else asked
    if arithmetic == "fp16" and not on_gpu:
        raise RunFailure("fp16 needs a GPU", "set training.precision to auto, bf16 or fp32")
    if (
        arithmetic == "bf16"
        and on_gpu
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        name = torch.cuda.get_device_name()
        raise RunFailure(f"{name} has no bf16", "set training.precision to auto or fp16")
    if spec.model.dtype != "auto":
        return Precision(arithmetic, getattr(torch, spec.model.dtype))
    trains_weights = spec.method.kind in TRAINS_BASE
    return Precision(arithmetic, torch.float32 if trains_weights else _DTYPES[arithmetic])


def _best(on_gpu: bool) -> Arithmetic:
    if on_gpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Without AVX512-BF16 or AMX, bf16 on the CPU is emulated and slower than float32.
    has_mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return "bf16" if has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"
