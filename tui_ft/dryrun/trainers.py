"""trl's trainers without a training: what their losses ask of them, for one process."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch

from tui_ft.dryrun.model import checkpointing_arguments
from tui_ft.memory.step import Step

Batch = dict[str, torch.Tensor]


def longs(*shape: int) -> torch.Tensor:
    """Return token ids, or a mask, of a shape."""
    return torch.zeros(*shape, dtype=torch.long, device="meta")


def bare_trainer(kind: type, step: Step, model: Any, reference: Any = None, **more: Any) -> Any:  # noqa: ANN401
    """Return a trainer of a kind that has its methods, and of its attributes what losses read."""
    trainer: Any = object.__new__(kind)
    vars(trainer).update(
        model=model,
        ref_model=reference,
        args=_arguments(step),
        accelerator=_accelerator(),
        aux_loss_enabled=getattr(model.config, "output_router_logits", False),
        router_aux_loss_coef=0.001,
        aux_loss_coef=0.001,
        compute_loss_func=None,
        label_smoother=None,
        get_tp_size=lambda: 1,
        _tp_size=1,
        _total_train_tokens=0,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        _stored_metrics=defaultdict(lambda: defaultdict(list)),
        is_encoder_decoder=False,
        pad_token_id=0,
        padding_value=0,
        beta=step.beta,
    )
    vars(trainer).update(more)
    return trainer


def _same(value: Any, **_: object) -> Any:  # noqa: ANN401
    return value


def _accelerator() -> SimpleNamespace:
    return SimpleNamespace(
        gather_for_metrics=_same,
        gather=_same,
        reduce=_same,
        unwrap_model=_same,
        autocast=nullcontext,  # the whole step is under autocast already
        parallelism_config=None,
        num_processes=1,
        is_main_process=False,  # whoever is logs how long it took
        sync_gradients=True,
        device=torch.device("meta"),
    )


def _arguments(step: Step) -> SimpleNamespace:
    return SimpleNamespace(
        device=torch.device("meta"),
        loss_type="nll",
        average_tokens_across_devices=False,
        gradient_checkpointing_kwargs=checkpointing_arguments(step),
        center_rewards_coefficient=None,
        max_length=None,
        report_to=[],
        steps_per_generation=1,
        delta=None,
        use_bias_correction_kl=False,
    )
