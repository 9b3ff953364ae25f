"""What cannot go together in a run, and why: a table, asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.spec.methods import (
    BEGINS_ELSEWHERE,
    CHANGES_BASE,
    AdaLoraMethod,
    QloraMethod,
    has_virtual_tokens,
)
from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.spec.online import GENERATES
from tui_ft.spec.run_spec import RunSpec

_PACKED: Final = ("sft", "pretraining")
_FEWEST_FOR_KL: Final = 2
_FOUR_BITS: Final = 4


@dataclass(frozen=True, slots=True)
class Combination:
    """Two or more settings that exclude each other.

    Attributes:
        name: of the combination, for tests and lists.
        applies: whether a run has it.
        reason: why it cannot work.
        advice: what to set instead.
    """

    name: str
    applies: Callable[[RunSpec], bool]
    reason: str
    advice: str


def impossible(spec: RunSpec) -> tuple[Combination, ...]:
    """Return every combination of the table that ``spec`` has; none for a run that may start."""
    return tuple(one for one in COMBINATIONS if one.applies(spec))


def _kto_batch_too_small(spec: RunSpec) -> bool:
    objective, training = spec.objective, spec.training
    if objective.kind != "kto" or objective.loss_type != "kto":
        return False
    evaluated = training.per_device_eval_batch_size or _FEWEST_FOR_KL
    return min(training.per_device_train_batch_size, evaluated) < _FEWEST_FOR_KL


def _init(spec: RunSpec) -> str:
    return getattr(spec.method, "init_lora_weights", "default")


def _unsloth_has(spec: RunSpec) -> bool:
    method = spec.method
    kind = method.kind == "lora" or (isinstance(method, QloraMethod) and method.bits == _FOUR_BITS)
    return kind and not _has_dora(spec) and _init(spec) == "default"


def _takes_apart(spec: RunSpec) -> bool:
    """Tell whether weights or gradients are shared out among processes."""
    distributed = spec.hardware.distributed
    asked = {"deepspeed", "fsdp"} & set(spec.training.extra)
    return bool(asked) or (distributed is not None and distributed.kind != "ddp")


def _has_dora(spec: RunSpec) -> bool:
    return bool(getattr(spec.method, "use_dora", False))


def _ewc(spec: RunSpec) -> Any:  # noqa: ANN401 - None, or the group
    return getattr(spec.method, "ewc", None)


def _adapts_the_head(spec: RunSpec) -> bool:
    targets = getattr(spec.method, "target_modules", None)
    return isinstance(targets, list) and "lm_head" in targets


_FUSED: Final = ("sft", "pretraining", "dpo", "kto")
"""Objectives whose trainers multiply by the head's weights themselves, past an adapter on it."""
_REFERENCE: Final = ("dpo", "kto")
_FULL_LOGITS: Final = ("orpo", "cpo")


def _compares(spec: RunSpec) -> bool:
    """Tell whether the loss compares the model with the one that it began as."""
    kind = spec.objective.kind
    held = kind in GENERATES and getattr(spec.objective, "beta", 1.0) > 0
    return held or kind in _REFERENCE


def _asks_its_base(spec: RunSpec) -> bool:
    """Tell whether the model without its adapter is asked while it is trained."""
    known = any(
        getattr(spec.objective, name, False)
        for name in ("precompute_ref_log_probs", "reference_free")
    )
    return _compares(spec) and not known


COMBINATIONS: Final = (
    Combination(
        "packing with pairs, verdicts or classes",
        lambda spec: spec.training.packing and spec.objective.kind not in _PACKED,
        "training.packing joins texts into one row, and this objective looks at each by itself",
        "set training.packing to false",
    ),
    Combination(
        "graded answers of a model that scores",
        lambda spec: spec.evaluation.score is not None and spec.objective.kind in ANSWERS_NOTHING,
        "evaluation.score grades generated answers, and a model with a scoring head generates none",
        "leave evaluation.score out",
    ),
    Combination(
        "KTO on single rows",
        _kto_batch_too_small,
        "kto estimates its KL term from other rows of the batch, and there is only one",
        "set training.per_device_train_batch_size (and per_device_eval_batch_size) to 2 or more, "
        "or objective.loss_type to apo_zero_unpaired",
    ),
    Combination(
        "a reference by switching off an adapter that changed the base",
        lambda spec: _init(spec) in BEGINS_ELSEWHERE and _compares(spec),
        "PiSSA and OLoRA move a part of the base into the adapter, and LoftQ puts in what the base "
        "lacks; without it the base is not the model one began with, and so no reference for dpo, "
        "kto or a KL penalty",
        "set method.init_lora_weights to default",
    ),
    Combination(
        "PiSSA or OLoRA on a quantised base",
        lambda spec: spec.method.kind == "qlora" and _init(spec) in CHANGES_BASE,
        "PiSSA and OLoRA take their update out of the base's weights, which are quantised here",
        "set method.kind to lora, or method.init_lora_weights to default",
    ),
    Combination(
        "an adapter on a head that is multiplied past it",
        lambda spec: _adapts_the_head(spec) and spec.objective.kind in _FUSED,
        "the loss multiplies by lm_head's weights themselves, so an adapter on it would not train",
        "leave lm_head out of method.target_modules, or name it in method.modules_to_save",
    ),
    Combination(
        "virtual tokens in packed rows",
        lambda spec: has_virtual_tokens(spec.method) and spec.training.packing,
        "learned tokens stand before a row, and a packed row holds many texts: only the first "
        "would have them",
        "set training.packing to false",
    ),
    Combination(
        "virtual tokens where logits are compared with the row's own",
        lambda spec: has_virtual_tokens(spec.method) and spec.objective.kind in _FULL_LOGITS,
        "trl's orpo and cpo compare all logits with the row's tokens, and learned tokens before "
        "the row make them more",
        "set method.kind to lora, or objective.kind to dpo",
    ),
    Combination(
        "two ways out of memory at once",
        lambda spec: (
            spec.training.on_out_of_memory is not None
            and bool(spec.training.extra.get("auto_find_batch_size"))
        ),
        "accelerate's auto_find_batch_size would make the batch smaller before the run's own "
        "ladder does, and the rows of a step fewer with it",
        "leave auto_find_batch_size out of training.extra",
    ),
    Combination(
        "virtual tokens for a model that scores",
        lambda spec: has_virtual_tokens(spec.method) and spec.objective.kind in ANSWERS_NOTHING,
        "a scoring head reads the last token of a row, whose place learned tokens would shift",
        "set method.kind to lora",
    ),
    Combination(
        "LoftQ on a base that is not in 4 bits",
        lambda spec: _init(spec) == "loftq" and getattr(spec.method, "bits", None) != _FOUR_BITS,
        "LoftQ makes up for what quantising to 4 bits takes away, and this base is not in 4 bits",
        "set method.kind to qlora with method.bits 4, or method.init_lora_weights to default",
    ),
    Combination(
        "LoftQ with DoRA",
        lambda spec: _init(spec) == "loftq" and _has_dora(spec),
        "DoRA measures the weights' magnitudes before LoftQ has put back what they lack",
        "set method.use_dora to false, or method.init_lora_weights to default",
    ),
    Combination(
        "EWC without an old task",
        lambda spec: _ewc(spec) is not None and _ewc(spec).train is None and spec.data.mix is None,
        "EWC holds the model to weights that old data need, and no such data are named",
        "set method.ewc.train to a file of general text or chats, or data.mix.train",
    ),
    Combination(
        "EWC of a model that scores",
        lambda spec: _ewc(spec) is not None and spec.objective.kind in ANSWERS_NOTHING,
        "EWC holds a model to what it could say before, and one with a scoring head says nothing",
        "leave method.ewc out",
    ),
    Combination(
        "EWC with gradients that are not at hand",
        lambda spec: _ewc(spec) is not None and _takes_apart(spec),
        "EWC adds to the gradients of whole parameters, which DeepSpeed and FSDP take apart",
        "leave method.ewc out, or set hardware.distributed.kind to ddp",
    ),
    Combination(
        "trained biases with a reference by switching the adapter off",
        lambda spec: getattr(spec.method, "bias", "none") != "none" and _asks_its_base(spec),
        "the biases that are trained are the base's own and stay changed when the adapter is "
        "switched off, so it is no reference for dpo, kto or a KL penalty",
        "set method.bias to none, or objective.precompute_ref_log_probs to true",
    ),
    Combination(
        "AdaLoRA that would end with more ranks than it begins with",
        lambda spec: (
            isinstance(spec.method, AdaLoraMethod) and spec.method.target_r > spec.method.init_r
        ),
        "AdaLoRA takes ranks away from init_r down to target_r, which is larger here",
        "set method.init_r to half more than method.target_r",
    ),
    Combination(
        "Unsloth for another objective",
        lambda spec: spec.model.backend == "unsloth" and spec.objective.kind not in _PACKED,
        "Unsloth is used for sft and pretraining here: the other objectives ask for a reference or "
        "a head that its patched trainers make differently",
        "set model.backend to transformers",
    ),
    Combination(
        "Unsloth for another method",
        lambda spec: spec.model.backend == "unsloth" and not _unsloth_has(spec),
        "Unsloth has kernels for LoRA and QLoRA in 4 bits, without DoRA, beginning at zero",
        "set model.backend to transformers, or method.kind to lora or qlora with neither use_dora "
        "nor init_lora_weights",
    ),
    Combination(
        "Unsloth without one NVIDIA GPU",
        lambda spec: (
            spec.model.backend == "unsloth"
            and (spec.hardware.gpus == "none" or spec.hardware.processes != 1)
        ),
        "Unsloth's kernels run on one NVIDIA GPU, neither on the CPU nor on several",
        "set model.backend to transformers, or hardware.gpus to auto",
    ),
)
