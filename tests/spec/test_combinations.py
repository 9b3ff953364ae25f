"""The table of what cannot go together: each of its rows is met, and what is near it is not."""

from __future__ import annotations

from typing import Any

import pytest

from tui_ft.spec import RunSpec, build_spec, find_presets
from tui_ft.spec.combinations.table import COMBINATIONS, impossible

LEAST: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}
FURTHER = {"name_or_path": "m", "adapter": "continue"}
PISSA = {"kind": "lora", "init_lora_weights": "pissa"}
EWC = {"kind": "full", "ewc": {"rows": 8}}
OLD = {"kind": "full", "ewc": {"train": "old.jsonl"}}
UNSLOTH = {"name_or_path": "m", "backend": "unsloth"}
FLASH = {"name_or_path": "m", "attn_implementation": "flash_attention_2"}
GROUPED = {"train_sampling_strategy": "group_by_length"}
GALORE = {"optim": "galore_adamw", "optim_target_modules": "all-linear"}
LAYERWISE = {"optim": "apollo_adamw_layerwise", "optim_target_modules": "all-linear"}
PPO = {"kind": "ppo", "rewards": [{"kind": "length", "most": 8}]}
TWO_GPUS = {"gpus": [0, 1]}
ONE_ROW = {"per_device_train_batch_size": 1}

COLOUR = {"kind": "regex", "pattern": "green"}
GRPO: dict[str, Any] = {"kind": "grpo", "rewards": [COLOUR]}
RLOO: dict[str, Any] = {"kind": "rloo", "rewards": [COLOUR]}

BY_SIZE = "size_based_wrap"
TWO: dict[str, Any] = {"num_gpus": 2}
FSDP: dict[str, Any] = {**TWO, "distributed": {"kind": "fsdp"}}
ZERO3: dict[str, Any] = {**TWO, "distributed": {"kind": "deepspeed"}}
ZERO2: dict[str, Any] = {**TWO, "distributed": {"kind": "deepspeed", "zero_stage": 2}}

# What has the combination, and the nearest run that may start.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pairs the wrong way round where the loss has no place for them": (
        {"objective": {"kind": "dpo", "label_smoothing": 0.1}},
        {"objective": {"kind": "dpo", "loss_type": ["robust", "sft"], "label_smoothing": 0.1}},
    ),
    "what carries loss, said to the trainer": (
        {"training": {"extra": {"completion_only_loss": False}}},
        {"objective": {"kind": "sft", "loss_on": "all"}},
    ),
    "how rows become tokens, said to the trainer": (
        {"objective": {"kind": "dpo"}, "training": {"extra": {"truncation_mode": "keep_end"}}},
        {"objective": {"kind": "dpo"}, "training": {"extra": {"precompute_ref_batch_size": 2}}},
    ),
    "how a model is loaded, said to the trainer": (
        {"training": {"extra": {"model_init_kwargs": {"num_labels": 2}}}},
        {"model": {"name_or_path": "m", "extra": {"num_labels": 2}}},
    ),
    "a tracker in the training process": (
        {"training": {"extra": {"report_to": "wandb"}}},
        {"tracking": {"report_to": ["wandb"]}},
    ),
    "AOT on single pairs": (
        {"objective": {"kind": "dpo", "loss_type": "aot_unpaired"}, "training": ONE_ROW},
        {"objective": {"kind": "dpo", "loss_type": "aot_unpaired"}},
    ),
    "trained weights in float16": (
        {"model": {**LEAST["model"], "dtype": "float16"}, "method": {"kind": "freeze"}},
        {"model": {**LEAST["model"], "dtype": "float16"}, "method": {"kind": "lora"}},
    ),
    "layers and dropout that p-tuning's small network does not have": (
        {"method": {"kind": "p_tuning", "encoder_dropout": 0.1}},
        {
            "method": {
                "kind": "p_tuning",
                "encoder_dropout": 0.1,
                "extra": {"encoder_reparameterization_type": "LSTM"},
            }
        },
    ),
    "an adapter kept whole beside weights that are shared out": (
        {"method": {"kind": "prefix_tuning"}, "hardware": FSDP},
        {"method": {"kind": "prefix_tuning"}, "hardware": TWO},
    ),
    "PiSSA or OLoRA on weights that are shared out": (
        {"method": PISSA, "hardware": ZERO3},
        {"method": PISSA, "hardware": ZERO2},
    ),
    "an 8-bit base that is shared out": (
        {"method": {"kind": "qlora", "bits": 8}, "hardware": ZERO3},
        {"method": {"kind": "qlora", "bits": 4}, "hardware": ZERO3},
    ),
    "an optimizer with kernels of its own on weights that are shared out": (
        {"training": {"optim": "paged_adamw_8bit"}, "hardware": FSDP},
        {"training": {"optim": "paged_adamw_8bit"}, "hardware": TWO},
    ),
    "a frozen copy for reference of weights that are shared out": (
        {"objective": {"kind": "dpo"}, "method": {"kind": "full"}, "hardware": FSDP},
        {"objective": {"kind": "dpo"}, "method": {"kind": "lora"}, "hardware": FSDP},
    ),
    "answers of a model whose weights are shared out": (
        {"objective": GRPO, "training": {"per_device_train_batch_size": 8}, "hardware": FSDP},
        {"objective": GRPO, "training": {"per_device_train_batch_size": 8}, "hardware": TWO},
    ),
    "layers gathered by size without a size": (
        {"hardware": {**TWO, "distributed": {"kind": "fsdp", "auto_wrap_policy": BY_SIZE}}},
        {
            "hardware": {
                **TWO,
                "distributed": {
                    "kind": "fsdp",
                    "auto_wrap_policy": BY_SIZE,
                    "min_num_params": 1_000_000,
                },
            }
        },
    ),
    "offload to the CPU from the CPU": (
        {
            "hardware": {
                "gpus": "none",
                "cpu_processes": 2,
                "distributed": {"kind": "fsdp", "cpu_offload": True},
            }
        },
        {"hardware": {**TWO, "distributed": {"kind": "fsdp", "cpu_offload": True}}},
    ),
    "an adapter trained further by a method without one": (
        {"model": FURTHER, "method": {"kind": "full"}},
        {"model": FURTHER, "method": {"kind": "lora"}},
    ),
    "learned tokens trained further": (
        {"model": FURTHER, "method": {"kind": "prompt_tuning"}},
        {"model": FURTHER, "method": {"kind": "bottleneck"}},
    ),
    "AdaLoRA trained further": (
        {"model": FURTHER, "method": {"kind": "adalora"}},
        {"model": FURTHER, "method": {"kind": "qlora"}},
    ),
    "a beginning for an adapter that has begun": (
        {"model": FURTHER, "method": PISSA},
        {"method": PISSA},
    ),
    "Unsloth with an adapter that is trained further": (
        {"model": {**FURTHER, "backend": "unsloth"}, "method": {"kind": "lora"}},
        {"model": {"name_or_path": "m", "backend": "unsloth"}, "method": {"kind": "lora"}},
    ),
    "packing with pairs, verdicts or classes": (
        {"objective": {"kind": "dpo"}, "training": {"packing": True}},
        {"objective": {"kind": "pretraining"}, "training": {"packing": True}},
    ),
    "graded answers of a model that scores": (
        {"objective": {"kind": "reward"}, "evaluation": {"score": {}}},
        {"objective": {"kind": "dpo"}, "evaluation": {"score": {}}},
    ),
    "a reference by switching off an adapter that changed the base": (
        {"objective": {"kind": "dpo"}, "method": PISSA},
        {"objective": {"kind": "orpo"}, "method": PISSA},
    ),
    "PiSSA or OLoRA on a quantised base": (
        {"method": {**PISSA, "kind": "qlora"}},
        {"method": {"kind": "qlora", "init_lora_weights": "gaussian"}},
    ),
    "an adapter on a head that is multiplied past it": (
        {"method": {"kind": "lora", "target_modules": ["q_proj", "lm_head"]}},
        {"method": {"kind": "lora", "modules_to_save": ["lm_head"]}},
    ),
    "virtual tokens in packed rows": (
        {"method": {"kind": "prefix_tuning"}, "training": {"packing": True}},
        {"method": {"kind": "ia3"}, "training": {"packing": True}},
    ),
    "virtual tokens where logits are compared with the row's own": (
        {"method": {"kind": "p_tuning"}, "objective": {"kind": "orpo"}},
        {"method": {"kind": "p_tuning"}, "objective": {"kind": "dpo"}},
    ),
    "virtual tokens for a model that scores": (
        {"method": {"kind": "prompt_tuning"}, "objective": {"kind": "reward"}},
        {"method": {"kind": "ia3"}, "objective": {"kind": "reward"}},
    ),
    "LoftQ on a base that is not in 4 bits": (
        {"method": {"kind": "qlora", "bits": 8, "init_lora_weights": "loftq"}},
        {"method": {"kind": "qlora", "init_lora_weights": "loftq"}},
    ),
    "PiSSA or OLoRA beside something else that is trained": (
        {"method": PISSA, "objective": {"kind": "reward"}},
        {"method": PISSA},
    ),
    "LoftQ with DoRA": (
        {"method": {"kind": "qlora", "init_lora_weights": "loftq", "use_dora": True}},
        {"method": {"kind": "qlora", "use_dora": True}},
    ),
    "EWC without an old task": (
        {"method": EWC},
        {"method": EWC, "data": {"train": "d.jsonl", "mix": {"train": "old.jsonl"}}},
    ),
    "EWC of a model that scores": (
        {"method": OLD, "objective": {"kind": "reward"}},
        {"method": OLD, "objective": {"kind": "dpo"}},
    ),
    "EWC with gradients that are not at hand": (
        {"method": OLD, "hardware": {**TWO, "distributed": {"kind": "fsdp"}}},
        {"method": OLD, "hardware": {**TWO, "distributed": {"kind": "ddp"}}},
    ),
    "trained biases with a reference by switching the adapter off": (
        {"objective": {"kind": "dpo"}, "method": {"kind": "lora", "bias": "all"}},
        {
            "objective": {"kind": "dpo", "precompute_ref_log_probs": True},
            "method": {"kind": "lora", "bias": "all"},
        },
    ),
    "AdaLoRA without a rank to take away": (
        {"method": {"kind": "adalora", "init_r": 8, "target_r": 8}},
        {"method": {"kind": "adalora", "init_r": 9, "target_r": 8}},
    ),
    "Unsloth for another objective": (
        {"model": UNSLOTH, "objective": {"kind": "dpo"}},
        {"model": UNSLOTH, "objective": {"kind": "pretraining"}},
    ),
    "Unsloth for another method": (
        {"model": UNSLOTH, "method": {"kind": "lora", "use_dora": True}},
        {"model": UNSLOTH, "method": {"kind": "qlora", "lora_dropout": 0.1}},
    ),
    "Unsloth without one NVIDIA GPU": (
        {"model": UNSLOTH, "hardware": {"gpus": [0, 1]}},
        {"model": UNSLOTH, "hardware": {"gpus": [1]}},
    ),
    "answers to a prompt torn apart": (
        {"objective": GRPO, "training": {"per_device_train_batch_size": 12}},
        {
            "objective": GRPO,
            "training": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 12},
        },
    ),
    "answers to a held-out prompt torn apart": (
        {"objective": RLOO, "training": {"per_device_eval_batch_size": 3}},
        {
            "objective": {**RLOO, "num_generations_eval": 1},
            "training": {"per_device_eval_batch_size": 3},
        },
    ),
    "answers in batches whose size is found by trying": (
        {"objective": RLOO, "training": {"extra": {"auto_find_batch_size": True}}},
        {"objective": RLOO, "training": {"on_out_of_memory": {}}},
    ),
    "answers that leave no room for a prompt": (
        {"objective": RLOO, "training": {"max_length": 512}},
        {"objective": RLOO, "training": {"max_length": 513}},
    ),
    "a KL term against a base that the adapter changed": (
        {"objective": RLOO, "method": PISSA},
        {"objective": {**RLOO, "beta": 0}, "method": PISSA},
    ),
    "a KL term against a base whose biases are trained": (
        {"objective": RLOO, "method": {"kind": "lora", "bias": "all"}},
        {"objective": {**RLOO, "beta": 0}, "method": {"kind": "lora", "bias": "all"}},
    ),
    "noise on what answers are sampled from": (
        {"objective": PPO, "training": {"neftune_noise_alpha": 5.0}},
        {"objective": {"kind": "dpo"}, "training": {"neftune_noise_alpha": 5.0}},
    ),
    "PPO on weights that are shared out": (
        {"objective": PPO, "hardware": {**TWO_GPUS, "distributed": {"kind": "fsdp"}}},
        {"objective": PPO, "hardware": {**TWO_GPUS, "distributed": {"kind": "ddp"}}},
    ),
    "two ways out of memory at once": (
        {"training": {"on_out_of_memory": {}, "extra": {"auto_find_batch_size": True}}},
        {"training": {"extra": {"auto_find_batch_size": True}}},
    ),
    "label smoothing where the loss leaves it out": (
        {"objective": {"kind": "dpo"}, "training": {"label_smoothing_factor": 0.1}},
        {"objective": {"kind": "classification"}, "training": {"label_smoothing_factor": 0.1}},
    ),
    "label smoothing of virtual tokens": (
        {"method": {"kind": "p_tuning"}, "training": {"label_smoothing_factor": 0.1}},
        {"method": {"kind": "ia3"}, "training": {"label_smoothing_factor": 0.1}},
    ),
    "rows grouped by a length that they do not have": (
        {"objective": {"kind": "dpo"}, "training": GROUPED},
        {"objective": {"kind": "sft"}, "training": GROUPED},
    ),
    "no padding without FlashAttention": (
        {"training": {"padding_free": True}},
        {"training": {"padding_free": True}, "model": FLASH},
    ),
    "no padding in rows that are looked at one by one": (
        {"training": {"padding_free": True}, "model": FLASH, "objective": {"kind": "orpo"}},
        {"training": {"padding_free": True}, "model": FLASH, "objective": {"kind": "pretraining"}},
    ),
    "virtual tokens without padding": (
        {"training": {"padding_free": True}, "model": FLASH, "method": {"kind": "p_tuning"}},
        {"training": {"padding_free": True}, "model": FLASH, "method": {"kind": "ia3"}},
    ),
    "a projecting optimizer without layers": (
        {"training": {"optim": "galore_adamw"}, "method": {"kind": "full"}},
        {"training": GALORE, "method": {"kind": "full"}},
    ),
    "a projecting optimizer on an adapter": (
        {"training": GALORE, "method": {"kind": "lora"}},
        {"training": GALORE, "method": {"kind": "full"}},
    ),
    "a layerwise optimizer that accumulates": (
        {"training": {**LAYERWISE, "gradient_accumulation_steps": 2}, "method": {"kind": "full"}},
        {"training": LAYERWISE, "method": {"kind": "full"}},
    ),
    "a layerwise optimizer in fp16": (
        {"training": {"optim": "lomo", "precision": "fp16"}, "method": {"kind": "full"}},
        {"training": {"optim": "lomo", "precision": "bf16"}, "method": {"kind": "full"}},
    ),
    "a layerwise optimizer in several processes": (
        {"training": {"optim": "lomo"}, "method": {"kind": "full"}, "hardware": TWO},
        {"training": {"optim": "lomo"}, "method": {"kind": "full"}, "hardware": {"num_gpus": 1}},
    ),
    "an optimizer that transformers cannot make": (
        {
            "training": {**GALORE, "optim": "galore_adafactor_layerwise"},
            "method": {"kind": "full"},
        },
        {"training": {**GALORE, "optim": "galore_adafactor"}, "method": {"kind": "full"}},
    ),
    "an optimizer of CUDA's on the CPU": (
        {"training": {"optim": "adalomo"}, "hardware": {"gpus": "none"}},
        {"training": {"optim": "lomo"}, "hardware": {"gpus": "none"}},
    ),
    "FlashAttention on the CPU": (
        {"model": FLASH, "hardware": {"gpus": "none"}},
        {"model": FLASH},
    ),
    "FlashAttention in float32": (
        {"model": FLASH, "training": {"precision": "fp32"}},
        {"model": FLASH, "training": {"precision": "bf16"}},
    ),
    "a schedule without what it needs": (
        {"training": {"lr_scheduler_type": "cosine_with_min_lr"}},
        {
            "training": {
                "lr_scheduler_type": "cosine_with_min_lr",
                "lr_scheduler_kwargs": {"min_lr": 1e-6},
            }
        },
    ),
    "a schedule that looks at an evaluation there is not": (
        {"training": {"lr_scheduler_type": "greedy", "eval_steps": None}},
        {"training": {"lr_scheduler_type": "greedy"}},
    ),
    "KTO on single rows": (
        {"objective": {"kind": "kto"}, "training": ONE_ROW},
        {"objective": {"kind": "kto", "loss_type": "apo_zero_unpaired"}, "training": ONE_ROW},
    ),
}


def _run(values: dict[str, Any]) -> RunSpec:
    return build_spec({**LEAST, **values})


def test_every_row_of_the_table_has_its_case() -> None:
    assert set(CASES) == {one.name for one in COMBINATIONS}


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_and_what_is_near_it_is_not(name: str) -> None:
    bad, good = CASES[name]
    (found,) = impossible(_run(bad))
    assert found.name == name
    assert len(found.reason) > 40
    assert len(found.advice) > 10
    assert impossible(_run(good)) == ()


def test_no_packaged_preset_has_any() -> None:
    for preset in find_presets().values():
        assert impossible(preset.build(["model.name_or_path=m", "data.train=d"])) == ()


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"training": {"packing": True}}, "joins texts into one row"),
        ({"method": PISSA}, "from which the KL divergence is measured"),
        ({"method": {"kind": "lora", "bias": "all"}}, "biases of the base itself"),
        ({"training": {"max_length": 512}}, "takes all of it"),
        ({"method": {"kind": "lora", "target_modules": ["lm_head"]}}, "would not train"),
        ({"method": {"kind": "prompt_tuning"}}, None),
        ({"method": {"kind": "full"}}, None),
        ({"evaluation": {"score": {}}}, None),
    ],
    ids=str,
)
def test_what_ppo_goes_with(groups: dict[str, Any], said: str | None) -> None:
    found = impossible(_run({"objective": PPO, **groups}))
    assert len(found) == (said is not None)
    assert all(said is not None and said in one.reason for one in found)


@pytest.mark.parametrize(
    ("objective", "refused"),
    [
        ({"kind": "grpo", "beta": 0.04}, True),
        ({"kind": "grpo", "beta": 0.0}, False),
        ({"kind": "ppo"}, True),
        ({"kind": "dpo", "reference_free": True}, True),
        ({"kind": "sft"}, False),
    ],
)
def test_where_a_switched_off_adapter_is_the_reference(
    objective: dict[str, Any], refused: bool
) -> None:
    rewards = (
        {} if objective["kind"] in ("dpo", "sft") else {"rewards": [{"kind": "length", "most": 8}]}
    )
    found = impossible(_run({"objective": {**objective, **rewards}, "method": PISSA}))
    # The place of the KL term is another table's: either says that the base is no reference.
    assert (
        any("the adapter changed" in one.name or "switching off" in one.name for one in found)
        is refused
    )
