"""The model of a step on `meta`: made from its configuration, adapted as the trainer would."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import orjson
import peft
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)
from trl.trainer.utils import add_fused_lm_head

from tui_ft.dryrun import autocast
from tui_ft.dryrun.answers import Answering
from tui_ft.dryrun.four_bit import quantize
from tui_ft.memory.step import Step

META: Final = torch.device("meta")
_HEAD_OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "sft": ("log_probs", "entropy", "is_top1"),
    "dpo": ("log_probs", "entropy", "mean_logits", "is_top1"),
    "kto": ("log_probs", "entropy", "mean_logits"),
    "grpo": ("log_probs", "entropy"),
}
"""What each of trl's trainers asks of its fused head (their constructors in trl 1.16)."""
_SCORES: Final = ("reward", "classification")


class UnbuildableError(Exception):
    """The model or its adapter cannot be made; the reason is for people."""


def build(step: Step) -> Any:  # noqa: ANN401 - transformers is untyped here
    """Return the model that is trained, in training mode.

    Raises:
        UnbuildableError: transformers or peft refuse the configuration.
    """
    try:
        model = _base(step)
        model = _adapted(model, step)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise UnbuildableError(f"{type(error).__name__}: {error}") from error
    if step.checkpointing:
        _checkpoint(model, step)
    model.train()
    return model


def build_reference(step: Step) -> Any:  # noqa: ANN401
    """Return the frozen copy of the base that a preference loss compares with."""
    model = _base(step)
    model.requires_grad_(False)
    return model.eval()


def dtype(name: str) -> torch.dtype:
    """Return torch's type of a name such as bfloat16."""
    return getattr(torch, name)  # type: ignore[no-any-return]


def configuration(step: Step) -> PretrainedConfig:
    """Return transformers' configuration from the values of a config.json."""
    with tempfile.TemporaryDirectory() as folder:
        values = {key: value for key, value in step.config.items() if key != "auto_map"}
        # A quantised checkpoint's own scheme is no scheme of the step's.
        values.pop("quantization_config", None)
        Path(folder, "config.json").write_bytes(orjson.dumps(values))
        config = AutoConfig.from_pretrained(folder)
    if step.objective in _SCORES:
        config.num_labels = 1 if step.objective == "reward" else step.num_labels
        if config.pad_token_id is None:
            config.pad_token_id = 0
    config.use_cache = step.cache
    return config


def _base(step: Step) -> Any:  # noqa: ANN401
    """Return the model as it is loaded, quantised, with the head that its trainer puts on."""
    config = configuration(step)
    scores = step.objective in _SCORES
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with META:
        model = kind.from_config(
            config,
            dtype=dtype(step.weights),
            attn_implementation=None if step.attention == "auto" else step.attention,
        )
    if step.quantization is not None:
        quantize(model, step.quantization, dtype(step.arithmetic or step.weights))
    outputs = _HEAD_OUTPUTS.get(step.objective)
    if outputs is not None:
        add_fused_lm_head(model, outputs=outputs)
    return model


def _adapted(model: Any, step: Step) -> Any:  # noqa: ANN401
    """Return the model with its adapter, held in the type that the step asks for."""
    if step.adapter is None:
        return model
    task = "SEQ_CLS" if step.objective in _SCORES else "CAUSAL_LM"
    config = peft.PeftConfig.from_peft_type(**{"task_type": task, **step.adapter})
    asked = dtype(step.adapter_dtype)
    with META, Answering():
        # peft casts what it adds to float32, and leaves what it trains in place as it is.
        model = peft.get_peft_model(model, config, autocast_adapter_dtype=asked == torch.float32)
    if step.quantization is not None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(asked)
    return model


def checkpointing_arguments(step: Step) -> dict[str, Any]:
    """Return how activations are recomputed: with this process's autocast, where there is one."""
    arguments: dict[str, Any] = {"use_reentrant": False}
    if step.arithmetic is not None:
        low = dtype(step.arithmetic)
        arguments["context_fn"] = lambda: autocast.recomputation(low)
    return arguments


def _checkpoint(model: Any, step: Step) -> None:  # noqa: ANN401
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=checkpointing_arguments(step))
    if step.adapter is not None:
        model.enable_input_require_grads()
