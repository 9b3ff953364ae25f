"""What cannot go together where the model answers prompts and learns from rewards."""

from __future__ import annotations

from typing import Final

from tui_ft.spec.combinations.combination import Combination
from tui_ft.spec.distributed import sharding_kind
from tui_ft.spec.methods import BEGINS_ELSEWHERE, TRAINS_BASE, lora_init
from tui_ft.spec.online import GroupFields, OnlineFields
from tui_ft.spec.run_spec import RunSpec


def answers_at_once(spec: RunSpec) -> int:
    """Return for how many answers prompts are taken at once, by all processes together.

    How many there are may depend on the machine; then it is asked of one.
    """
    training, asked = spec.training, spec.objective
    batches = getattr(asked, "steps_per_generation", None) or training.gradient_accumulation_steps
    return training.per_device_train_batch_size * batches * (spec.hardware.processes or 1)


def _splits_a_group(spec: RunSpec) -> bool:
    asked = spec.objective
    return isinstance(asked, GroupFields) and answers_at_once(spec) % asked.num_generations != 0


def _splits_a_held_out_group(spec: RunSpec) -> bool:
    asked, rows = spec.objective, spec.training.per_device_eval_batch_size
    if not isinstance(asked, GroupFields) or rows is None or spec.training.eval_steps is None:
        return False
    rows *= spec.hardware.processes or 1
    return rows % (asked.num_generations_eval or asked.num_generations) != 0


def _leaves_no_room(spec: RunSpec) -> bool:
    asked = spec.objective
    if not isinstance(asked, OnlineFields):
        return False
    return asked.max_completion_length >= spec.training.max_length


def _compares_with_the_base(spec: RunSpec) -> bool:
    """Tell whether an adapter is switched off to ask the model that one began with."""
    adapted = spec.method.kind not in TRAINS_BASE
    return adapted and isinstance(spec.objective, OnlineFields) and _weighs_divergence(spec)


def _weighs_divergence(spec: RunSpec) -> bool:
    """Tell whether the KL divergence has a weight; where that is no field, it always has."""
    return bool(getattr(spec.objective, "beta", 1.0))


def _adds_noise(spec: RunSpec) -> bool:
    noise = spec.training.neftune_noise_alpha
    return noise is not None and isinstance(spec.objective, OnlineFields)


def _shares_out_weights(spec: RunSpec) -> bool:
    strategy = spec.hardware.distributed
    return strategy is not None and sharding_kind(strategy) in ("fsdp", "zero3")


ONLINE_COMBINATIONS: Final = (
    Combination(
        "PPO on weights that are shared out",
        lambda spec: spec.objective.kind == "ppo" and _shares_out_weights(spec),
        "FSDP and ZeRO-3 hold a part of the weights on each GPU, and PPO lets whole models answer",
        "set hardware.distributed to kind ddp, or to deepspeed with zero_stage 2",
    ),
    Combination(
        "noise on what answers are sampled from",
        _adds_noise,
        "NEFTune puts noise on the embeddings of a model that trains, and here it answers while it "
        "trains: answers, and the probabilities they are compared by, would be noisy too",
        "leave training.neftune_noise_alpha out",
    ),
    Combination(
        "answers to a prompt torn apart",
        _splits_a_group,
        "the answers of a step (per_device_train_batch_size x gradient_accumulation_steps, on all "
        "GPUs) are no multiple of objective.num_generations, so that one prompt would have fewer",
        "set training.per_device_train_batch_size to a multiple of objective.num_generations, or "
        "both so that batch x accumulation is one",
    ),
    Combination(
        "answers to a held-out prompt torn apart",
        _splits_a_held_out_group,
        "training.per_device_eval_batch_size is no multiple of the answers to each held-out "
        "prompt (objective.num_generations_eval, else num_generations)",
        "leave training.per_device_eval_batch_size out, or set objective.num_generations_eval to 1",
    ),
    Combination(
        "answers in batches whose size is found by trying",
        lambda spec: (
            isinstance(spec.objective, GroupFields)
            and bool(spec.training.extra.get("auto_find_batch_size"))
        ),
        "accelerate's auto_find_batch_size would tear the answers to a prompt apart",
        "leave auto_find_batch_size out of training.extra; training.on_out_of_memory keeps answers "
        "to a prompt together",
    ),
    Combination(
        "answers that leave no room for a prompt",
        _leaves_no_room,
        "training.max_length is for prompt and answer together, and "
        "objective.max_completion_length takes all of it",
        "raise training.max_length, or lower objective.max_completion_length",
    ),
    Combination(
        "a KL term against a base that the adapter changed",
        lambda spec: lora_init(spec.method) in BEGINS_ELSEWHERE and _compares_with_the_base(spec),
        "PiSSA and OLoRA move a part of the base into the adapter; without it the base is not the "
        "model one began with, from which the KL divergence is measured",
        "set method.init_lora_weights to default, or objective.beta of grpo or rloo to 0",
    ),
    Combination(
        "a KL term against a base whose biases are trained",
        lambda spec: (
            getattr(spec.method, "bias", "none") != "none" and _compares_with_the_base(spec)
        ),
        "method.bias trains biases of the base itself, which stay trained when the adapter is "
        "switched off: the KL divergence would not be measured from the model one began with",
        "set method.bias to none, or objective.beta of grpo or rloo to 0",
    ),
)
