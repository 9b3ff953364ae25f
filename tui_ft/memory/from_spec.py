"""The training step that a RunSpec means, as ftui's own trainer runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tui_ft.memory.step import Dtype, Quantization, Step, StepObjective
from tui_ft.spec import RunSpec
from tui_ft.spec.methods import TRAINS_BASE, QloraMethod
from tui_ft.spec.peft_arguments import peft_arguments

_DTYPES: Final[dict[str, Dtype]] = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
}
_OBJECTIVES: Final[dict[str, StepObjective]] = {
    "sft": "sft",
    "pretraining": "sft",
    "dpo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "cpo": "orpo",
    "reward": "reward",
    "classification": "classification",
}
"""How the memory of an objective's loss is made up; CPO's is like ORPO's, logits of both sides."""
_BF16_FROM: Final = (8, 0)
_HOPPER: Final = (9, 0)


def step_of(
    spec: RunSpec,
    config: Mapping[str, Any],
    *,
    capability: tuple[int, int] | None = None,
    longest: int | None = None,
    supervised: float = 1.0,
) -> Step:
    """Return the step with the most memory that a run makes: its longest rows, all of a length.

    Types are chosen as `tui_ft.train.precision` chooses them on a GPU, and adapters are held in
    float32, as the trainer holds them.

    Args:
        spec: the run.
        config: the values of the model's config.json.
        capability: the GPU's compute capability; one that has bfloat16 when not known.
        longest: tokens of the longest row, when it is known; `training.max_length` at most.
        supervised: share of tokens that carry loss.
    """
    training = spec.training
    arithmetic = _arithmetic(spec, capability)
    length = min(training.max_length, longest or training.max_length)
    method = spec.method
    return Step(
        config=dict(config),
        batch=training.per_device_train_batch_size,
        length=training.max_length if training.packing else length,
        # Rows of one batch are hardly ever of one length; packed ones are, but for the last.
        padded=training.per_device_train_batch_size > 1 and not training.packing,
        supervised=supervised,
        objective=_OBJECTIVES[spec.objective.kind],
        adapter=peft_arguments(method),
        quantization=_quantization(method) if isinstance(method, QloraMethod) else None,
        weights=_weights(spec, arithmetic),
        arithmetic=None if arithmetic == "float32" else arithmetic,
        checkpointing=training.gradient_checkpointing,
        attention=spec.model.attn_implementation,
        optim=training.optim,
        clip=training.max_grad_norm > 0,
        accumulation=training.gradient_accumulation_steps > 1,
        workspace_mib=32.0 if capability is not None and capability >= _HOPPER else 8.125,
    )


def _arithmetic(spec: RunSpec, capability: tuple[int, int] | None) -> Dtype:
    asked = spec.training.precision
    if asked != "auto":
        return _DTYPES[asked]
    return "bfloat16" if capability is None or capability >= _BF16_FROM else "float16"


def _weights(spec: RunSpec, arithmetic: Dtype) -> Dtype:
    if spec.model.dtype != "auto":
        return spec.model.dtype
    return "float32" if spec.method.kind in TRAINS_BASE else arithmetic


def _quantization(method: QloraMethod) -> Quantization:
    return Quantization(
        bits=method.bits,
        quant_type=method.bnb_4bit_quant_type,
        double=method.bnb_4bit_use_double_quant,
    )
