"""What a method cannot go together with, where the method is the reason."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.spec.combinations.combination import Combination
from tui_ft.spec.methods import (
    CHANGES_BASE,
    TRAINS_BASE,
    AdaLoraMethod,
    PTuningMethod,
    QloraMethod,
    lora_init,
)
from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.spec.run_spec import RunSpec

_FOUR_BITS: Final = 4
_LAYERS_OF_MLP: Final = 2
_TEXTS: Final = ("sft", "pretraining")


def _unsloth_has(spec: RunSpec) -> bool:
    method = spec.method
    kind = method.kind == "lora" or (isinstance(method, QloraMethod) and method.bits == _FOUR_BITS)
    return kind and not _has_dora(spec) and lora_init(spec.method) == "default"


def _takes_apart(spec: RunSpec) -> bool:
    """Tell whether weights or gradients are shared out among processes."""
    distributed = spec.hardware.distributed
    asked = {"deepspeed", "fsdp"} & set(spec.training.extra)
    return bool(asked) or (distributed is not None and distributed.kind != "ddp")


def _has_dora(spec: RunSpec) -> bool:
    return bool(getattr(spec.method, "use_dora", False))


def _ewc(spec: RunSpec) -> Any:  # noqa: ANN401 - None, or the group
    return getattr(spec.method, "ewc", None)


def _asks_its_base(spec: RunSpec) -> bool:
    """Tell whether the model without its adapter is asked while it is trained on preferences."""
    known = any(
        getattr(spec.objective, name, False)
        for name in ("precompute_ref_log_probs", "reference_free")
    )
    return spec.objective.kind in ("dpo", "kto") and not known


def _saves_more_than_lora(spec: RunSpec) -> bool:
    method = spec.method
    whole = bool(getattr(method, "modules_to_save", None)) or _has_dora(spec)
    biases = getattr(method, "bias", "none") != "none"
    return whole or biases or spec.objective.kind in ANSWERS_NOTHING


def _asks_more_of_an_mlp(spec: RunSpec) -> bool:
    method = spec.method
    if not isinstance(method, PTuningMethod):
        return False
    is_mlp = method.extra.get("encoder_reparameterization_type", "MLP") == "MLP"
    return is_mlp and (method.encoder_num_layers != _LAYERS_OF_MLP or method.encoder_dropout > 0)


METHOD_COMBINATIONS: Final = (
    Combination(
        "PiSSA or OLoRA beside something else that is trained",
        lambda spec: lora_init(spec.method) in CHANGES_BASE and _saves_more_than_lora(spec),
        "what PiSSA and OLoRA trained is saved as a plain LoRA, and peft leaves out of that what "
        "was trained beside it: a scoring head, method.modules_to_save, biases, DoRA's magnitudes",
        "set method.init_lora_weights to default",
    ),
    Combination(
        "trained weights in float16",
        lambda spec: spec.method.kind in TRAINS_BASE and spec.model.dtype == "float16",
        "weights that are trained cannot be held in float16: their gradients are scaled against "
        "underflow, and torch scales none in float16 back",
        "set model.dtype to auto (float32), or method.kind to lora; training.precision fp16 "
        "computes in float16 all the same",
    ),
    Combination(
        "layers and dropout that p-tuning's small network does not have",
        _asks_more_of_an_mlp,
        "peft's network for p-tuning is an MLP of two layers without dropout, whatever is asked",
        "leave method.encoder_num_layers and encoder_dropout out, or set "
        "method.extra.encoder_reparameterization_type to LSTM, which has both",
    ),
    Combination(
        "LoftQ on a base that is not in 4 bits",
        lambda spec: (
            lora_init(spec.method) == "loftq" and getattr(spec.method, "bits", None) != _FOUR_BITS
        ),
        "LoftQ makes up for what quantising to 4 bits takes away, and this base is not in 4 bits",
        "set method.kind to qlora with method.bits 4, or method.init_lora_weights to default",
    ),
    Combination(
        "LoftQ with DoRA",
        lambda spec: lora_init(spec.method) == "loftq" and _has_dora(spec),
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
        "switched off, so it is no reference for dpo or kto",
        "set method.bias to none, or objective.precompute_ref_log_probs to true",
    ),
    Combination(
        "AdaLoRA without a rank to take away",
        lambda spec: (
            isinstance(spec.method, AdaLoraMethod) and spec.method.target_r >= spec.method.init_r
        ),
        "AdaLoRA takes ranks away from init_r down to target_r, which is not smaller here",
        "set method.init_r to half more than method.target_r, or method.kind to lora",
    ),
    Combination(
        "Unsloth for another objective",
        lambda spec: spec.model.backend == "unsloth" and spec.objective.kind not in _TEXTS,
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
