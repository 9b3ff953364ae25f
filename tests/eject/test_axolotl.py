"""The keys and types are those of Axolotl's schema, and mean what the run means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.tiny_model import chat_rows, write_rows
from tui_ft.eject import axolotl_config, eject
from tui_ft.spec import RunSpec, build_spec

# The fields of AxolotlInputConfig that are written, with the types that its schema gives them.
SCHEMA: dict[str, type | tuple[type, ...]] = {
    "base_model": str, "datasets": list, "test_datasets": list, "train_on_inputs": bool,
    "adapter": str, "lora_r": int, "lora_alpha": int, "lora_dropout": float,
    "lora_target_linear": bool, "lora_target_modules": list, "lora_modules_to_save": list,
    "peft_use_rslora": bool, "peft_use_dora": bool, "load_in_4bit": bool, "bnb_config_kwargs": dict,
    "gradient_accumulation_steps": int, "micro_batch_size": int, "eval_batch_size": int,
    "learning_rate": float, "weight_decay": float, "optimizer": str, "lr_scheduler": str,
    "max_grad_norm": float, "sequence_len": int, "sample_packing": bool,
    "gradient_checkpointing": bool, "logging_steps": int, "save_total_limit": int,
    "early_stopping_patience": int, "dataloader_num_workers": int, "seed": int, "max_steps": int,
    "num_epochs": float, "excess_length_strategy": str, "warmup_ratio": float, "warmup_steps": int,
    "eval_steps": (int, float), "save_steps": (int, float), "save_strategy": str,
    "load_best_model_at_end": bool, "bf16": (str, bool), "fp16": bool, "attn_implementation": str,
    "output_dir": str, "revision_of_model": str, "trust_remote_code": bool,
}  # fmt: skip


def spec_of(**groups: Any) -> RunSpec:
    return build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}, **groups})


def values_of(spec: RunSpec, layout: str = "messages") -> dict[str, Any]:
    return axolotl_config(spec, layout, evaluates=True).values


def test_every_key_is_one_of_axolotls_with_its_type() -> None:
    specs = [
        spec_of(),
        spec_of(method={"kind": "full"}, training={"max_steps": 5, "precision": "fp16"}),
        spec_of(
            model={"name_or_path": "m", "revision": "main", "attn_implementation": "sdpa"},
            method={"kind": "qlora", "use_dora": True, "use_rslora": True, "lora_dropout": 0.1,
                    "modules_to_save": ["lm_head"], "target_modules": ["q_proj"]},
            training={"warmup_steps": 10, "early_stopping_patience": 3, "save_steps": None,
                      "per_device_eval_batch_size": 2},
        ),
    ]  # fmt: skip
    written = [item for spec in specs for item in values_of(spec).items()]
    assert {key for key, _ in written} <= set(SCHEMA)
    assert [key for key, value in written if not isinstance(value, SCHEMA[key])] == []


def test_the_run_means_the_same_there() -> None:
    spec = spec_of(
        method={"kind": "qlora", "r": 32, "lora_alpha": 64, "bnb_4bit_quant_type": "fp4"},
        training={"optim": "adamw_8bit", "max_length": 4096, "packing": True, "warmup_steps": 20,
                  "per_device_train_batch_size": 2, "gradient_accumulation_steps": 8},
    )  # fmt: skip
    values = values_of(spec)
    assert (values["adapter"], values["load_in_4bit"]) == ("qlora", True)
    assert (values["lora_r"], values["lora_alpha"]) == (32, 64)
    assert values["bnb_config_kwargs"]["bnb_4bit_quant_type"] == "fp4"
    assert values["lora_target_linear"] is True
    assert values["optimizer"] == "adamw_bnb_8bit"
    assert (values["sequence_len"], values["sample_packing"]) == (4096, True)
    assert (values["micro_batch_size"], values["gradient_accumulation_steps"]) == (2, 8)
    assert values["warmup_steps"] == 20
    assert values["train_on_inputs"] is False
    assert values["datasets"][0]["roles_to_train"] == ["assistant"]


def test_what_axolotl_cannot_say_is_said() -> None:
    spec = spec_of(
        objective={"loss_on": "last_assistant"},
        method={"kind": "lora", "bias": "all"},
        training={
            "neftune_noise_alpha": 5,
            "adam_beta2": 0.95,
            "label_smoothing_factor": 0.1,
            "extra": {"dataloader_prefetch_factor": 2},
        },
    )
    config = axolotl_config(spec, "messages", evaluates=False)
    left_out = " ".join(config.left_out)
    for word in (
        "last answer",
        "method.bias",
        "training.extra.dataloader_prefetch_factor",
        "training.label_smoothing_factor",
    ):
        assert word in left_out
    assert (config.values["neftune_noise_alpha"], config.values["adam_beta2"]) == (5, 0.95)
    assert "adam_beta1" not in config.values


def test_yaml_and_rows_lie_side_by_side(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(50))
    spec = spec_of(data={"train": str(data), "eval_fraction": 0.2})
    done = eject(spec, "axolotl", tmp_path / "out")
    values = yaml.safe_load(done.file.read_text())
    assert values == axolotl_config(spec, "messages", evaluates=True).values
    rows = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    held = (tmp_path / "out" / "eval.jsonl").read_text().splitlines()
    assert (len(rows), len(held)) == (40, 10)
    assert {role["role"] for role in json.loads(rows[0])["messages"]} == {"user", "assistant"}
    assert values["test_datasets"][0]["path"] == "./eval.jsonl"
