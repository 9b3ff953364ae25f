"""The keys and types are those of Axolotl's schema, and mean what the run means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tiny_model import chat_rows, pair_rows, write_rows
from tui_ft.eject import EjectError, axolotl_config, eject
from tui_ft.spec import RunSpec, build_spec

# The fields of AxolotlInputConfig that are written, with the types that its schema gives them.
SCHEMA: dict[str, type | tuple[type, ...]] = {
    "metric_for_best_model": str, "greater_is_better": bool,
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
    "chat_template": str, "chat_template_jinja": str, "rl": str, "rl_beta": float,
    "orpo_alpha": float, "simpo_gamma": float, "cpo_alpha": float, "remove_unused_columns": bool,
    "precompute_ref_log_probs": bool, "reward_model": bool, "model_type": str, "num_labels": int,
    "center_rewards_coefficient": float, "fsdp_version": int, "fsdp_config": dict,
    "accelerator_config": dict, "lora_mlp_kernel": bool, "lora_qkv_kernel": bool,
    "lora_o_kernel": bool, "lora_embedding_kernel": bool,
    "output_dir": str, "revision_of_model": str, "trust_remote_code": bool,
}  # fmt: skip


def spec_of(**groups: Any) -> RunSpec:
    return build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}, **groups})


def values_of(spec: RunSpec, layout: str = "messages") -> dict[str, Any]:
    return axolotl_config(spec, layout, rows=100, evaluates=True).values


def test_no_kernel_of_loras_meets_a_scoring_head() -> None:
    # Axolotl turns them on where they are not spoken of, and then refuses any but causal models.
    kernels = [f"lora_{place}_kernel" for place in ("mlp", "qkv", "o", "embedding")]
    scored = values_of(spec_of(objective={"kind": "reward"}, method={"kind": "lora"}), "pairs")
    assert [scored[name] for name in kernels] == [False] * 4
    full = values_of(spec_of(objective={"kind": "reward"}, method={"kind": "full"}), "pairs")
    answers = values_of(spec_of(method={"kind": "lora"}))
    assert not {*kernels} & {*full, *answers}


def test_simpo_warms_up_for_steps() -> None:
    warm = spec_of(
        objective={"kind": "cpo", "loss_type": "simpo"},
        training={
            "warmup_steps": 0.1,
            "num_train_epochs": 3,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
        },
    )
    values = values_of(warm, "pairs")
    assert "warmup_ratio" not in values
    assert values["warmup_steps"] == 4  # a tenth of 3 epochs of 13 steps
    fewer = warm.model_copy(update={"training": warm.training.model_copy(update={"max_steps": 20})})
    assert values_of(fewer, "pairs")["warmup_steps"] == 2


@pytest.mark.parametrize(
    ("saves", "evaluates", "then"),
    [
        *((None, 10, 10), (25, 10, 10), (20, 10, 20), (0.1, 0.1, 0.1)),
        (0.5, 0.1, 0.1),  # for Axolotl too, 0.5 % 0.1 is not 0
    ],
)
def test_early_stopping_saves_where_it_evaluates(
    saves: float | None, evaluates: float, then: float
) -> None:
    spec = spec_of(
        training={"early_stopping_patience": 2, "eval_steps": evaluates, "save_steps": saves}
    )
    config = axolotl_config(spec, "messages", rows=100, evaluates=True)
    assert config.values["save_steps"] == then
    assert "save_strategy" not in config.values
    assert any("to stop early" in said for said in config.left_out) == (then != saves)


def test_what_cannot_be_is_not_handed_over(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", chat_rows(20))
    spec = spec_of(
        data={"train": str(tmp_path / "rows.jsonl")},
        objective={"kind": "grpo", "rewards": [{"kind": "json"}], "num_generations": 8},
        training={"per_device_train_batch_size": 4},
    )
    for target in ("script", "axolotl"):
        with pytest.raises(EjectError, match=r"multiple of objective\.num_generations"):
            eject(spec, target, tmp_path / target)
        assert not (tmp_path / target).exists()


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
        spec_of(objective={"kind": "dpo", "precompute_ref_log_probs": True}),
        spec_of(objective={"kind": "orpo"}, model={"name_or_path": "m", "chat_template": "plain"}),
        spec_of(objective={"kind": "cpo", "loss_type": "simpo"}),
        spec_of(objective={"kind": "reward", "center_rewards_coefficient": 0.01},
                hardware={"num_gpus": 4, "distributed": {"kind": "fsdp"}}),
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


def test_a_base_in_8_bits_is_axolotls_lora() -> None:
    values = values_of(spec_of(method={"kind": "qlora", "bits": 8}))
    assert (values["adapter"], values["load_in_8bit"]) == ("lora", True)
    assert "load_in_4bit" not in values


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
    config = axolotl_config(spec, "messages", rows=100, evaluates=False)
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
    for word in ("neftune_noise_alpha", "adam_beta2"):  # which are said
        assert word not in left_out


def test_yaml_and_rows_lie_side_by_side(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(50))
    spec = spec_of(data={"train": str(data), "eval_fraction": 0.2})
    done = eject(spec, "axolotl", tmp_path / "out")
    values = yaml.safe_load(done.file.read_text())
    assert values == axolotl_config(spec, "messages", rows=100, evaluates=True).values
    rows = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    held = (tmp_path / "out" / "eval.jsonl").read_text().splitlines()
    assert (len(rows), len(held)) == (40, 10)
    assert {role["role"] for role in json.loads(rows[0])["messages"]} == {"user", "assistant"}
    assert values["test_datasets"][0]["path"] == "./eval.jsonl"


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({"kind": "dpo", "beta": 0.3}, {"rl": "dpo", "rl_beta": 0.3}),
        ({"kind": "dpo", "loss_type": "ipo"}, {"rl": "ipo", "rl_beta": 0.1}),
        ({"kind": "orpo", "beta": 0.2}, {"rl": "orpo", "orpo_alpha": 0.2}),
        ({"kind": "cpo", "loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0},
         {"rl": "simpo", "rl_beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 1.0}),
        ({"kind": "reward"}, {"reward_model": True, "num_labels": 1}),
    ],
)  # fmt: skip
def test_preferences_mean_the_same_there(
    tmp_path: Path, objective: dict[str, Any], expected: dict[str, Any]
) -> None:
    data = write_rows(tmp_path / "rows.jsonl", pair_rows(40))
    spec = spec_of(data={"train": str(data), "eval_fraction": 0.0}, objective=objective)
    done = eject(spec, "axolotl", tmp_path / "out")
    values = yaml.safe_load(done.file.read_text())
    assert {key: values.get(key) for key in expected} == expected
    assert values["chat_template"] == "tokenizer_default"
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    row: Any = pair_rows(40)[0]
    asked, better, worse = row["prompt"], row["chosen"][0], row["rejected"][0]
    pair = {"messages": asked, "chosen": better, "rejected": worse}
    assert first == {
        "dpo": pair,
        "cpo": pair,
        "orpo": {"chosen": [*asked, better], "rejected": [*asked, worse]},
        "reward": {"system": "", "input": asked[0]["content"], "chosen": better["content"],
                   "rejected": worse["content"]},
    }[objective["kind"]]  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ({"objective": {"kind": "kto"}}, "templates of its own"),
        ({"objective": {"kind": "classification"}}, "no classification by labels"),
        ({"objective": {"kind": "cpo"}}, "dpo (sigmoid), ipo and simpo"),
        ({"objective": {"kind": "dpo", "loss_type": "hinge"}}, "dpo (sigmoid), ipo and simpo"),
        ({"objective": {"kind": "dpo", "loss_type": ["sigmoid", "sft"]}}, "ipo and simpo"),
        ({"method": {"kind": "ia3"}}, "Axolotl has no ia3"),
        ({"method": {"kind": "lora", "init_lora_weights": "olora"}}, "belongs on the base"),
        (
            {"method": {"kind": "qlora", "init_lora_weights": "loftq"}},
            "begins on an unquantised base",
        ),
    ],
)
def test_what_axolotl_has_no_form_for_is_refused_with_the_reason(
    tmp_path: Path, groups: dict[str, Any], why: str
) -> None:
    with pytest.raises(EjectError, match=re.escape(why)) as refused:
        eject(spec_of(**groups), "axolotl", tmp_path / "out")
    assert "`--to script` can do it" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_template_goes_along(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", chat_rows(50))
    model = {"name_or_path": "m", "chat_template": "plain"}
    done = eject(spec_of(data={"train": str(data)}, model=model), "axolotl", tmp_path / "out")
    values = yaml.safe_load(done.file.read_text())
    assert values["chat_template_jinja"] == "./chat_template.jinja"
    assert "### Instruction" in (tmp_path / "out" / "chat_template.jinja").read_text()
