"""The model of a step on `meta`: made from its configuration, adapted as the trainer would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
import peft
import torch
from torch import nn
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
from tui_ft.spec.heads import heads_of
from tui_ft.spec.norm_places import not_tuned
from tui_ft.tuners import bottleneck

META: Final = torch.device("meta")
bottleneck.register()
_HEAD_OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "sft": ("log_probs", "entropy", "is_top1"),
    "dpo": ("log_probs", "entropy", "mean_logits", "is_top1"),
    "kto": ("log_probs", "entropy", "mean_logits"),
    "grpo": ("log_probs", "entropy"),
    "rloo": ("log_probs", "entropy"),
    "ppo": ("log_probs", "entropy"),
}
"""What each trainer asks of trl's fused head (their constructors in trl 1.16; for PPO ftui's)."""
REFERENCE: Final = "ref"
"""What trl calls the adapter that a loss compares with (`use_adapter` in its trainers)."""
_PREPARED: Final = ("orpo", "cpo", "simpo")
"""Whose trainers prepare a quantised base as peft proposes: what is not quantised in float32."""
_SCORES: Final = ("reward", "classification")


class UnbuildableError(Exception):
    """The model or its adapter cannot be made; the reason is for people."""


def build(step: Step, *, shared: bool = False) -> Any:  # noqa: ANN401 - transformers is untyped here
    """Return the model that is trained, in training mode.

    Args:
        step: the step.
        shared: its weights are to be shared out.

    Raises:
        UnbuildableError: transformers or peft refuse the configuration.
    """
    try:
        model = _base(step, shared=shared)
        model = _adapted(model, step)
        if step.objective == "ppo":
            base = model.get_base_model() if step.adapter is not None else model
            # Values are computed in float32, whatever the model is held in.
            base.value_head = nn.Linear(_width(model), 1, device=META)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise UnbuildableError(f"{type(error).__name__}: {error}") from error
    if step.checkpointing:
        _checkpoint(model, step)
    model.train()
    return model


@dataclass(frozen=True, slots=True)
class Others:
    """The frozen models that an objective holds beside the trained one."""

    reference: Any = None
    rewards: tuple[Any, ...] = ()
    consolidation: tuple[Any, ...] = ()

    def all(self) -> tuple[Any, ...]:
        """Return those that are held."""
        return tuple(
            model
            for model in (self.reference, *self.rewards, *self.consolidation)
            if model is not None
        )


def build_others(step: Step) -> Others:
    """Return the copy of the base that a loss compares with, and the model that scores answers."""
    held = 2 if step.consolidated else 0  # the old weights, and what each of them matters
    return Others(
        consolidation=tuple(_frozen(_base(step)) for _ in range(held)),
        reference=_frozen(_base(step)) if step.holds_reference else None,
        rewards=tuple(_frozen(_base(one)) for one in _scoring(step)),
    )


def _scoring(step: Step) -> Iterator[Step]:
    """Yield the steps by which the models that score answers are made.

    Where nobody has looked them up, there is one, as large as the policy.
    """
    if not step.reward_model:
        return
    scoring = msgspec.structs.replace(step, objective="reward")
    for config in step.reward_configs:
        yield msgspec.structs.replace(
            scoring, config=config, quantization=None, weights=step.arithmetic or step.weights
        )
    if not step.reward_configs:
        yield scoring


def _frozen(model: Any) -> Any:  # noqa: ANN401
    return model.requires_grad_(False).eval()


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


def _base(step: Step, *, shared: bool = False) -> Any:  # noqa: ANN401
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
        low = dtype(step.arithmetic or step.weights)
        quantize(model, step.quantization, low, shared=shared)
    outputs = _HEAD_OUTPUTS.get(step.objective)
    if outputs is not None:
        add_fused_lm_head(model, outputs=outputs)
    return model


def _width(model: Any) -> int:  # noqa: ANN401
    return int(model.config.get_text_config().hidden_size)


def _adapted(model: Any, step: Step) -> Any:  # noqa: ANN401
    """Return the model with its adapter, held in the type that the step asks for."""
    if step.adapter is None:
        return model
    if step.quantization is not None and step.objective in _PREPARED:
        model = peft.prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=step.checkpointing
        )
    task = "SEQ_CLS" if step.objective in _SCORES else "CAUSAL_LM"
    config = peft.PeftConfig.from_peft_type(**{"task_type": task, **step.adapter})
    if step.objective in _SCORES and hasattr(config, "exclude_modules"):
        config.exclude_modules = list(heads_of(name for name, _ in model.named_modules()))
    if config.peft_type == "LN_TUNING":
        held = ((name, bool(list(one.parameters()))) for name, one in model.named_modules())
        config.exclude_modules = not_tuned(held) or None
    asked = dtype(step.adapter_dtype)
    with META, Answering():
        # peft casts what it adds to float32, and leaves what it trains in place as it is.
        model = peft.get_peft_model(model, config, autocast_adapter_dtype=asked == torch.float32)
    if step.holds_all_as_adapter:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(asked)
    if step.reference_adapter:
        with META, Answering():
            model.add_adapter(REFERENCE, config, autocast_adapter_dtype=asked == torch.float32)
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
