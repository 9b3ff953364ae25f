"""A run as Axolotl's YAML, and what of it that cannot say.

Names and meaning are those of Axolotl's own schema (`axolotl/utils/schemas`, read at 067b021c8 of
July 2026).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.eject.rows import EVAL, TRAIN
from tui_ft.spec import RunSpec
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.run_spec import QloraMethod

_SAME: Final = {
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "per_device_train_batch_size": "micro_batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
    "optim": "optimizer",
    "lr_scheduler_type": "lr_scheduler",
    "max_grad_norm": "max_grad_norm",
    "max_length": "sequence_len",
    "packing": "sample_packing",
    "gradient_checkpointing": "gradient_checkpointing",
    "logging_steps": "logging_steps",
    "save_total_limit": "save_total_limit",
    "early_stopping_patience": "early_stopping_patience",
    "dataloader_num_workers": "dataloader_num_workers",
    "seed": "seed",
    "max_steps": "max_steps",
}
_IF_ASKED: Final = (
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "optim_args",
    "optim_target_modules",
    "lr_scheduler_kwargs",
    "neftune_noise_alpha",
    "torch_compile",
)
"""Named alike, and said where they are not the default."""
_HAS_NOT: Final = (
    "label_smoothing_factor",
    "packing_strategy",
    "padding_free",
    "torch_empty_cache_steps",
    "use_liger_kernel",
)
_OPTIMIZERS: Final = {"adamw_8bit": "adamw_bnb_8bit"}
_LORA: Final = {
    "r": "lora_r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "modules_to_save": "lora_modules_to_save",
    "use_rslora": "peft_use_rslora",
    "use_dora": "peft_use_dora",
}


@dataclass(frozen=True, slots=True)
class AxolotlConfig:
    """The YAML's values, and in words what the run has and they do not."""

    values: dict[str, Any]
    left_out: tuple[str, ...]


def axolotl_config(spec: RunSpec, layout: str, *, evaluates: bool) -> AxolotlConfig:
    """Return a run of supervised fine-tuning as Axolotl takes it.

    Args:
        spec: the run.
        layout: of the rows: `messages`, `completion` or `text`.
        evaluates: whether there is an eval.jsonl beside it.
    """
    training = spec.training
    values: dict[str, Any] = {"base_model": spec.model.name_or_path}
    if spec.model.revision:
        values["revision_of_model"] = spec.model.revision
    if spec.model.trust_remote_code:
        values["trust_remote_code"] = True
    values |= _data(spec, layout, evaluates)
    values |= _method(spec)
    for ours, theirs in _SAME.items():
        value = getattr(training, ours)
        if value is not None:
            values[theirs] = value
    values |= {name: getattr(training, name) for name in _asked(spec, _IF_ASKED)}
    if values.get("optim_target_modules") == "all-linear":
        values["optim_target_modules"] = "all_linear"
    if training.train_sampling_strategy == "group_by_length":
        values["group_by_length"] = True
    values["optimizer"] = _OPTIMIZERS.get(training.optim, training.optim)
    values["num_epochs"] = training.num_train_epochs
    values["excess_length_strategy"] = "truncate"
    share = training.warmup_steps < 1
    values["warmup_ratio" if share else "warmup_steps"] = (
        training.warmup_steps if share else int(training.warmup_steps)
    )
    if evaluates and training.eval_steps is not None:
        values["eval_steps"] = training.eval_steps
        values["load_best_model_at_end"] = training.load_best_model_at_end
    if training.save_steps is not None:
        values["save_steps"] = training.save_steps
    else:
        values["save_strategy"] = "no"
    values |= _precision(spec)
    if spec.model.attn_implementation != "auto":
        values["attn_implementation"] = spec.model.attn_implementation
    values["output_dir"] = "./output"
    return AxolotlConfig(values, _left_out(spec))


def _data(spec: RunSpec, layout: str, evaluates: bool) -> dict[str, Any]:
    loss_on = getattr(spec.objective, "loss_on", "assistant")
    if layout == "messages":
        about: dict[str, Any] = {
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
        }
        if loss_on == "last_assistant":
            about["train_on_eos"] = "last"
        if spec.model.chat_template is not None:
            about["chat_template_jinja"] = spec.model.chat_template
    elif layout == "completion":
        about = {
            "type": {
                "field_instruction": "prompt",
                "field_output": "completion",
                "format": "{instruction}",
                "no_input_format": "{instruction}",
            }
        }
    else:
        about = {"type": "completion", "field": "text"}

    def rows(name: str) -> dict[str, Any]:
        return {"path": f"./{name}", "ds_type": "json", **about}

    values: dict[str, Any] = {"datasets": [rows(TRAIN)], "train_on_inputs": loss_on == "all"}
    if evaluates:
        values["test_datasets"] = [{**rows(EVAL), "split": "train"}]
    return values


def _method(spec: RunSpec) -> dict[str, Any]:
    adapter = peft_arguments(spec.method)
    if adapter is None:
        return {}
    values: dict[str, Any] = {"adapter": spec.method.kind}
    for ours, theirs in _LORA.items():
        if adapter.get(ours):
            values[theirs] = adapter[ours]
    targets = adapter.get("target_modules")
    if targets == "all-linear":
        values["lora_target_linear"] = True
    else:
        values["lora_target_modules"] = targets
    if isinstance(spec.method, QloraMethod):
        values["load_in_4bit"] = True
        values["bnb_config_kwargs"] = {
            "bnb_4bit_quant_type": spec.method.bnb_4bit_quant_type,
            "bnb_4bit_use_double_quant": spec.method.bnb_4bit_use_double_quant,
        }
    return values


def _precision(spec: RunSpec) -> dict[str, Any]:
    match spec.training.precision:
        case "auto":
            return {"bf16": "auto"}
        case "bf16":
            return {"bf16": True}
        case "fp16":
            return {"fp16": True, "bf16": False}
        case "fp32":
            return {"bf16": False, "fp16": False}


def _asked(spec: RunSpec, names: Iterable[str]) -> list[str]:
    """Return those of the fields of training that are not as by default."""
    default = type(spec.training)()
    return [n for n in names if getattr(spec.training, n) != getattr(default, n)]


def _left_out(spec: RunSpec) -> tuple[str, ...]:
    """Return what Axolotl does otherwise or has no word for."""
    said = []
    if spec.method.kind == "full":
        said.append("ftui holds float32 weights under bf16 arithmetic; Axolotl holds bf16 weights")
    if getattr(spec.objective, "loss_on", "assistant") == "last_assistant":
        said.append("loss on the last answer alone: Axolotl trains on every assistant turn")
    if getattr(spec.method, "bias", "none") != "none":
        said.append(f"method.bias: {getattr(spec.method, 'bias', '')}")
    said += [f"training.{name}" for name in _asked(spec, _HAS_NOT)]
    said += [
        f"{group}.extra.{name}"
        for group in ("model", "method", "training")
        for name in getattr(getattr(spec, group), "extra", {})
    ]
    if spec.evaluation.score is not None:
        said.append("evaluation.score: answers graded before and after")
    return tuple(said)
