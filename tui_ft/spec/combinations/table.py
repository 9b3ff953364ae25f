"""What cannot go together in a run, and why: a table, asked before anything is loaded."""

from __future__ import annotations

from typing import Final

from tui_ft.spec.combinations.combination import Combination
from tui_ft.spec.combinations.continuing import CONTINUE_COMBINATIONS
from tui_ft.spec.combinations.distributed import DISTRIBUTED_COMBINATIONS
from tui_ft.spec.combinations.methods import METHOD_COMBINATIONS
from tui_ft.spec.combinations.online import ONLINE_COMBINATIONS
from tui_ft.spec.combinations.told_in_vain import TOLD_IN_VAIN
from tui_ft.spec.kernels import FLASH
from tui_ft.spec.methods import (
    BEGINS_ELSEWHERE,
    CHANGES_BASE,
    TRAINS_BASE,
    has_virtual_tokens,
    lora_init,
)
from tui_ft.spec.objectives import ANSWERS_NOTHING, CpoObjective, DpoObjective
from tui_ft.spec.optimizers import FOLLOWS_EVALUATION, OPTIMIZERS, lacks_its_argument
from tui_ft.spec.run_spec import RunSpec

__all__ = ["COMBINATIONS", "Combination", "impossible"]

_PACKED: Final = ("sft", "pretraining")
_FEWEST_FOR_KL: Final = 2


def impossible(spec: RunSpec) -> tuple[Combination, ...]:
    """Return every combination of the table that ``spec`` has; none for a run that may start."""
    return tuple(one for one in COMBINATIONS if one.applies(spec))


def _kto_batch_too_small(spec: RunSpec) -> bool:
    objective, training = spec.objective, spec.training
    if objective.kind != "kto" or objective.loss_type != "kto":
        return False
    evaluated = training.per_device_eval_batch_size or _FEWEST_FOR_KL
    return min(training.per_device_train_batch_size, evaluated) < _FEWEST_FOR_KL


def _sorts_one_pair(spec: RunSpec) -> bool:
    objective = spec.objective
    sorts = isinstance(objective, DpoObjective) and {"aot", "aot_unpaired"} & set(objective.losses)
    return bool(sorts) and spec.training.per_device_train_batch_size == 1


def _adapts_the_head(spec: RunSpec) -> bool:
    targets = getattr(spec.method, "target_modules", None)
    return isinstance(targets, list) and "lm_head" in targets


_FUSED: Final = ("sft", "pretraining", "dpo", "kto", "grpo", "rloo", "ppo")
"""Objectives whose trainers multiply by the head's weights themselves, past an adapter on it."""
_REFERENCE: Final = ("dpo", "kto")
_FULL_LOGITS: Final = ("orpo", "cpo")

_SMOOTHS: Final = ("sft", "pretraining", "classification")
"""Objectives whose loss label smoothing really changes; the others' trainers leave it out."""
_SMOOTHED: Final = {
    "dpo": {"robust", "exo_pair", "aot", "aot_unpaired"},
    "cpo": {"sigmoid", "simpo"},
}
"""Losses on preferences in which trl has a place for the share of pairs the wrong way round."""
_INPUT_IDS: Final = ("sft", "pretraining", "classification")
"""Objectives with one text a row, which has one length."""


def _smooths_nothing(spec: RunSpec) -> bool:
    objective = spec.objective
    if not isinstance(objective, DpoObjective | CpoObjective) or not objective.label_smoothing:
        return False
    losses = objective.losses if isinstance(objective, DpoObjective) else [objective.loss_type]
    return not _SMOOTHED[objective.kind] & set(losses)


def _needs_targets(spec: RunSpec) -> bool:
    training = spec.training
    return OPTIMIZERS[training.optim].targets and not training.optim_target_modules


def _projects_an_adapter(spec: RunSpec) -> bool:
    return OPTIMIZERS[spec.training.optim].targets and spec.method.kind not in TRAINS_BASE


def _layerwise_accumulates(spec: RunSpec) -> bool:
    training = spec.training
    return OPTIMIZERS[training.optim].layerwise and training.gradient_accumulation_steps > 1


def _steps_backward_in_fp16(spec: RunSpec) -> bool:
    training = spec.training
    return OPTIMIZERS[training.optim].layerwise and training.precision == "fp16"


def _pads_without_flash(spec: RunSpec) -> bool:
    return spec.training.padding_free and spec.model.attn_implementation not in FLASH


COMBINATIONS: Final = (
    Combination(
        "label smoothing where the loss leaves it out",
        lambda spec: (
            spec.training.label_smoothing_factor > 0 and spec.objective.kind not in _SMOOTHS
        ),
        "training.label_smoothing_factor is left out by the loss of this objective, and would do "
        "nothing",
        "set it to 0; dpo and cpo have an objective.label_smoothing of their own",
    ),
    Combination(
        "pairs the wrong way round where the loss has no place for them",
        _smooths_nothing,
        "objective.label_smoothing is left out by this loss, and would do nothing",
        "set it to 0, or objective.loss_type to robust (dpo) or sigmoid (cpo)",
    ),
    Combination(
        "label smoothing of virtual tokens",
        lambda spec: spec.training.label_smoothing_factor > 0 and has_virtual_tokens(spec.method),
        "label smoothing compares all logits with the row's tokens, and learned tokens before the "
        "row make them more",
        "set training.label_smoothing_factor to 0",
    ),
    Combination(
        "rows grouped by a length that they do not have",
        lambda spec: (
            spec.training.train_sampling_strategy == "group_by_length"
            and spec.objective.kind not in _INPUT_IDS
        ),
        "training.train_sampling_strategy groups rows by their one length, and a row of this "
        "objective is more than one text",
        "set training.train_sampling_strategy to random",
    ),
    Combination(
        "no padding without FlashAttention",
        _pads_without_flash,
        "training.padding_free makes one sequence of a pass; attention other than FlashAttention "
        "is then computed between rows too, and takes more memory than padding",
        "set model.attn_implementation to flash_attention_2, or padding_free to false",
    ),
    Combination(
        "FlashAttention on the CPU",
        lambda spec: spec.model.attn_implementation in FLASH and spec.hardware.gpus == "none",
        "FlashAttention runs on GPUs, and hardware.gpus is none",
        "set model.attn_implementation to auto",
    ),
    Combination(
        "FlashAttention in float32",
        lambda spec: spec.model.attn_implementation in FLASH and spec.training.precision == "fp32",
        "FlashAttention computes in bf16 or fp16, and training.precision is fp32",
        "set training.precision to auto, or model.attn_implementation to auto",
    ),
    Combination(
        "no padding in rows that are looked at one by one",
        lambda spec: spec.training.padding_free and spec.objective.kind not in _PACKED,
        "training.padding_free makes one sequence of a pass, and this objective looks at each row "
        "by itself",
        "set training.padding_free to false",
    ),
    Combination(
        "virtual tokens without padding",
        lambda spec: (
            spec.training.padding_free
            and not spec.training.packing
            and has_virtual_tokens(spec.method)
        ),
        "learned tokens stand before a row, and without padding a pass is one row of many texts: "
        "only the first would have them",
        "set training.padding_free to false",
    ),
    Combination(
        "a projecting optimizer without layers",
        _needs_targets,
        "GaLore and APOLLO project the gradients of some layers, and none are named",
        "set training.optim_target_modules, such as to all-linear",
    ),
    Combination(
        "a projecting optimizer on an adapter",
        _projects_an_adapter,
        "GaLore and APOLLO project the gradients of whole layers, and an adapter trains low ranks "
        "already",
        "set method.kind to full, or training.optim to adamw_torch_fused",
    ),
    Combination(
        "a layerwise optimizer that accumulates",
        _layerwise_accumulates,
        "a layerwise optimizer (LOMO and AdaLOMO are) steps in the backward pass of each layer, "
        "and so keeps no gradients to add to",
        "set training.gradient_accumulation_steps to 1",
    ),
    Combination(
        "a layerwise optimizer in fp16",
        _steps_backward_in_fp16,
        "a layerwise optimizer steps in the backward pass, where fp16's gradients are still scaled",
        "set training.precision to bf16 or fp32, or training.optim to adamw_torch_fused",
    ),
    Combination(
        "an optimizer that transformers cannot make",
        lambda spec: bool(OPTIMIZERS[spec.training.optim].broken),
        OPTIMIZERS["galore_adafactor_layerwise"].broken,
        "set training.optim to galore_adafactor, or to galore_adamw_layerwise",
    ),
    Combination(
        "an optimizer of CUDA's on the CPU",
        lambda spec: OPTIMIZERS[spec.training.optim].cuda and spec.hardware.gpus == "none",
        "this training.optim keeps its states on an NVIDIA GPU, and hardware.gpus is none",
        "set training.optim to adamw_torch, or to adafactor",
    ),
    Combination(
        "a schedule without what it needs",
        lambda spec: lacks_its_argument(
            spec.training.lr_scheduler_type, spec.training.lr_scheduler_kwargs
        ),
        "this training.lr_scheduler_type has to be told where it ends: cosine_with_min_lr and "
        "cosine_warmup_with_min_lr at which rate, warmup_stable_decay how long it decays",
        "set training.lr_scheduler_kwargs to {min_lr_rate: 0.1}, or to {num_decay_steps: 100}",
    ),
    Combination(
        "a schedule that looks at an evaluation there is not",
        lambda spec: (
            spec.training.lr_scheduler_type in FOLLOWS_EVALUATION
            and spec.training.eval_steps is None
        ),
        "this training.lr_scheduler_type follows the evaluation loss, and nothing is evaluated",
        "set training.eval_steps, or another schedule",
    ),
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
        "AOT on single pairs",
        _sorts_one_pair,
        "aot compares the sorted answers of a pass with each other, and of one pair nothing can be "
        "sorted: it would be plain DPO",
        "set training.per_device_train_batch_size to 2 or more, or objective.loss_type to sigmoid",
    ),
    Combination(
        "a reference by switching off an adapter that changed the base",
        lambda spec: (
            lora_init(spec.method) in BEGINS_ELSEWHERE and spec.objective.kind in _REFERENCE
        ),
        "PiSSA and OLoRA move a part of the base into the adapter, and LoftQ puts in what the base "
        "lacks; without it the base is not the model one began with, and so no reference for dpo "
        "or kto",
        "set method.init_lora_weights to default",
    ),
    Combination(
        "PiSSA or OLoRA on a quantised base",
        lambda spec: spec.method.kind == "qlora" and lora_init(spec.method) in CHANGES_BASE,
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
    *CONTINUE_COMBINATIONS,
    *TOLD_IN_VAIN,
    *ONLINE_COMBINATIONS,
    *METHOD_COMBINATIONS,
    *DISTRIBUTED_COMBINATIONS,
)
