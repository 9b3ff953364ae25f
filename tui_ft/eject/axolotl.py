"""A run as Axolotl's YAML, and what of it that cannot say.

Names and meaning are those of Axolotl's own schema (`axolotl/utils/schemas`, read at 067b021c8 of
July 2026; 0.19.0 checks what is written here as its own).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.eject.axolotl_grpo import MODULE, grpo_values, not_in_grpo
from tui_ft.eject.axolotl_limits import rl_of
from tui_ft.eject.beginning import axolotl_model
from tui_ft.eject.processes import of_accumulating
from tui_ft.eject.rows import EVAL, TRAIN
from tui_ft.eject.script import TEMPLATE_FILE
from tui_ft.spec import RunSpec
from tui_ft.spec.distributed import DeepSpeedStrategy, FsdpStrategy
from tui_ft.spec.objectives import CpoObjective
from tui_ft.spec.online import GrpoObjective, evaluation_batch
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.run_spec import QloraMethod
from tui_ft.spec.trainer_arguments import best_by, usual_figure

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
_OTHERWISE: Final = (
    *("num_train_epochs", "warmup_steps", "eval_steps", "save_steps", "load_best_model_at_end"),
    *("metric_for_best_model", "greater_is_better", "precision", "extra"),
)
"""Fields of training that are said in other words."""
_OPTIMIZERS: Final = {"adamw_8bit": "adamw_bnb_8bit"}
_KERNELS: Final = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")
"""Axolotl turns them on by itself, and with a scoring head they then end the run ("Model must be a
PeftModelForCausalLM", 0.19.0)."""
_LORA: Final = {
    "r": "lora_r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "modules_to_save": "lora_modules_to_save",
    "use_rslora": "peft_use_rslora",
    "use_dora": "peft_use_dora",
}


_DEFAULT: Final = {
    "type": "chat_template.default",
    "field_messages": "messages",
    "field_chosen": "chosen",
    "field_rejected": "rejected",
}
_READ_BY: Final[dict[str, dict[str, Any]]] = {
    "dpo": _DEFAULT,
    "cpo": _DEFAULT,
    "orpo": {"type": "chat_template.argilla"},
    "reward": {"type": "bradley_terry.chat_template"},
    "grpo": {"type": f"{MODULE}.prompts"},
}
"""The kind of an objective -> how Axolotl reads its rows (docs/rlhf.qmd, reward_modelling.qmd)."""


@dataclass(frozen=True, slots=True)
class AxolotlConfig:
    """The YAML's values, and in words what the run has and they do not."""

    values: dict[str, Any]
    left_out: tuple[str, ...]


def axolotl_config(spec: RunSpec, layout: str, *, rows: int, evaluates: bool) -> AxolotlConfig:
    """Return a run as Axolotl takes it; `no_axolotl` has nothing against it.

    Args:
        spec: the run.
        layout: of the rows: `messages`, `completion`, `text` or `pairs`.
        rows: to train on.
        evaluates: whether there is an eval.jsonl beside it.
    """
    training = spec.training
    values: dict[str, Any] = axolotl_model(spec)
    if spec.model.trust_remote_code:
        values["trust_remote_code"] = True
    values |= _data(spec, layout, evaluates)
    values |= _objective(spec)
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
    values |= _warmup(spec, rows)
    values |= _evaluating(spec) if evaluates else {}
    values |= _saving(spec, evaluates)
    values |= _precision(spec)
    if spec.model.attn_implementation != "auto":
        values["attn_implementation"] = spec.model.attn_implementation
    values |= _spread(spec)
    if isinstance(spec.objective, GrpoObjective) and evaluates:
        as_many = spec.objective.model_copy(update={"num_generations_eval": None})
        values["eval_batch_size"] = evaluation_batch(as_many, training)
    values["output_dir"] = "./output"
    return AxolotlConfig(values, _left_out(spec))


def _warmup(spec: RunSpec, rows: int) -> dict[str, Any]:
    training = spec.training
    if training.warmup_steps >= 1:
        return {"warmup_steps": int(training.warmup_steps)}
    if rl_of(spec) != "simpo":
        return {"warmup_ratio": training.warmup_steps}
    # Its SimPO refuses a share (`check_simpo_warmup`).
    step = training.per_device_train_batch_size * training.gradient_accumulation_steps
    an_epoch = math.ceil(rows / (step * (spec.hardware.processes or 1)))
    steps = training.max_steps or math.ceil(training.num_train_epochs * an_epoch)
    return {"warmup_steps": math.ceil(steps * training.warmup_steps)}


def _evaluating(spec: RunSpec) -> dict[str, Any]:
    training = spec.training
    if training.eval_steps is None:
        return {}
    best = training.load_best_model_at_end
    values = {"eval_steps": training.eval_steps, "load_best_model_at_end": best}
    return values | (best_by(training, usual_figure(spec.objective)) if best else {})


def _saving(spec: RunSpec, evaluates: bool) -> dict[str, Any]:
    training = spec.training
    if _stops_early(spec) and evaluates and not _saves_where_it_evaluates(spec):
        return {"save_steps": training.eval_steps}
    if training.save_steps is None:
        return {"save_strategy": "no"}
    return {"save_steps": training.save_steps}


def _stops_early(spec: RunSpec) -> bool:
    return spec.training.early_stopping_patience is not None


def _saves_where_it_evaluates(spec: RunSpec) -> bool:
    """Return whether it saves at whole multiples of its evaluations, as Axolotl asks."""
    saves, evaluates = spec.training.save_steps, spec.training.eval_steps
    return saves is not None and evaluates is not None and saves % evaluates == 0


def _data(spec: RunSpec, layout: str, evaluates: bool) -> dict[str, Any]:
    kind = spec.objective.kind
    about = _READ_BY[kind] if kind in _READ_BY else _answers(spec, layout)

    def rows(name: str) -> dict[str, Any]:
        return {"path": f"./{name}", "ds_type": "json", **about}

    values: dict[str, Any] = {"datasets": [rows(TRAIN)]}
    if kind in ("sft", "pretraining"):
        values["train_on_inputs"] = _loss_on(spec) == "all"
    if spec.model.chat_template is not None:
        values |= {"chat_template": "jinja", "chat_template_jinja": f"./{TEMPLATE_FILE}"}
    elif kind in _READ_BY:
        values["chat_template"] = "tokenizer_default"
    if evaluates:
        values["test_datasets"] = [{**rows(EVAL), "split": "train"}]
    return values


def _loss_on(spec: RunSpec) -> str:
    whole = spec.objective.kind == "pretraining"
    return "all" if whole else str(getattr(spec.objective, "loss_on", "assistant"))


def _answers(spec: RunSpec, layout: str) -> dict[str, Any]:
    if layout == "messages":
        last = _loss_on(spec) == "last_assistant"
        return {
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": ["assistant"],
            "train_on_eos": "last" if last else "turn",
        }
    if layout == "completion":
        return {
            "type": {
                "field_instruction": "prompt",
                "field_output": "completion",
                "format": "{instruction}",
                "no_input_format": "{instruction}",
            }
        }
    return {"type": "completion", "field": "text"}


def _objective(spec: RunSpec) -> dict[str, Any]:
    objective, rl = spec.objective, rl_of(spec)
    if objective.kind == "grpo":
        return grpo_values(spec)
    if objective.kind == "reward":
        values: dict[str, Any] = {
            "reward_model": True,
            "model_type": "AutoModelForSequenceClassification",
            "num_labels": 1,
        }
        if objective.center_rewards_coefficient is not None:
            values["center_rewards_coefficient"] = objective.center_rewards_coefficient
        return values | (dict.fromkeys(_KERNELS, False) if _adapts(spec) else {})
    if rl is None:
        return {}
    beta = getattr(objective, "beta", 0.1)
    if rl == "orpo":
        return {"rl": rl, "orpo_alpha": beta, "remove_unused_columns": False}
    more: dict[str, Any] = {}
    if isinstance(objective, CpoObjective):
        more = {"cpo_alpha": objective.cpo_alpha, "simpo_gamma": objective.simpo_gamma}
    elif getattr(objective, "precompute_ref_log_probs", False):
        more = {"precompute_ref_log_probs": True}
    return {"rl": rl, "rl_beta": beta, **more}


def _spread(spec: RunSpec) -> dict[str, Any]:
    """Return how it is spread over several GPUs: Axolotl takes all that it sees."""
    strategy = spec.hardware.distributed
    if not isinstance(strategy, FsdpStrategy):
        return {}
    config: dict[str, Any] = {
        "reshard_after_forward": strategy.reshard_after_forward,
        "auto_wrap_policy": strategy.auto_wrap_policy.upper(),
        "offload_params": strategy.cpu_offload,
        "cpu_ram_efficient_loading": strategy.cpu_ram_efficient_loading,
        "state_dict_type": strategy.state_dict_type,
    }
    if strategy.transformer_cls_names_to_wrap:
        names = ",".join(strategy.transformer_cls_names_to_wrap)
        config["transformer_layer_cls_to_wrap"] = names
    if strategy.min_num_params is not None:
        config["min_num_params"] = strategy.min_num_params
    values = {"fsdp_version": strategy.fsdp_version, "fsdp_config": config}
    return values | of_accumulating(spec)


def _adapts(spec: RunSpec) -> bool:
    return peft_arguments(spec.method) is not None


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
    if not isinstance(spec.method, QloraMethod):
        return values
    if spec.method.bits == 8:  # noqa: PLR2004 - bits; Axolotl's qlora is one of 4
        return {**values, "adapter": "lora", "load_in_8bit": True}
    kwargs = {
        "bnb_4bit_quant_type": spec.method.bnb_4bit_quant_type,
        "bnb_4bit_use_double_quant": spec.method.bnb_4bit_use_double_quant,
    }
    return {**values, "load_in_4bit": True, "bnb_config_kwargs": kwargs}


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
    if spec.method.kind == "full" and spec.training.precision != "fp32":
        said.append("ftui holds float32 weights under bf16 arithmetic; Axolotl holds bf16 weights")
    if getattr(spec.objective, "loss_on", "assistant") == "last_assistant":
        said.append("loss on the last answer alone: Axolotl trains on every assistant turn")
    if _stops_early(spec) and not _saves_where_it_evaluates(spec):
        said.append("training.save_steps: to stop early Axolotl saves at every evaluation")
    if getattr(spec.method, "bias", "none") != "none":
        said.append(f"method.bias: {getattr(spec.method, 'bias', '')}")
    said += [
        f"{group}.extra.{name}"
        for group in ("model", "method", "training")
        for name in getattr(getattr(spec, group), "extra", {})
    ]
    if isinstance(spec.hardware.distributed, DeepSpeedStrategy):
        stage = spec.hardware.distributed.zero_stage
        said.append(f"DeepSpeed ZeRO-{stage}: give `deepspeed: deepspeed_configs/zero{stage}.json`")
    auto_wrap = getattr(spec.hardware.distributed, "auto_wrap_policy", "")
    if auto_wrap == "no_wrap":
        said.append("hardware.distributed.auto_wrap_policy no_wrap")
    by_length = spec.training.train_sampling_strategy == "group_by_length"
    known = (*_SAME, *_OTHERWISE, *_IF_ASKED, *(("train_sampling_strategy",) if by_length else ()))
    said += [
        f"training.{name}"
        for name in _asked(spec, type(spec.training).model_fields)
        if name not in known
    ]
    said += [
        f"objective.{name}"
        for name in ("label_smoothing", "ld_alpha", "use_weighting")
        if getattr(spec.objective, name, None)
    ]
    said += not_in_grpo(spec)
    if spec.evaluation.score is not None:
        said.append("evaluation.score: answers graded before and after")
    return tuple(said)
