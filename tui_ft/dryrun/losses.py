"""The loss of a step, by the trainers' own code, and the batch that they would hand to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import torch
import torch.nn.functional as F
from trl import DPOTrainer, RewardTrainer, SFTTrainer

from tui_ft.dryrun.model import checkpointing_arguments
from tui_ft.memory.step import Step

Batch = dict[str, torch.Tensor]
_COUNTED: Final = 100  # any number of supervised tokens: a loss is divided by it


def make_batch(step: Step, length: int) -> Batch:
    """Return what the data collator would hand over, on meta.

    Pairs stand behind each other, chosen first: 2 B rows of (length) token ids.
    """
    paired = step.objective in ("dpo", "reward")
    shape = (step.batch * (2 if paired else 1), length)
    batch = {"input_ids": _longs(*shape)}
    if step.padded or step.objective not in ("causal_lm",):
        batch["attention_mask"] = _longs(*shape)
    match step.objective:
        case "dpo":
            batch["completion_mask"] = _longs(*shape)
        case "classification":
            batch["labels"] = _longs(step.batch)
        case "reward":
            pass
        case _:
            batch["labels"] = _longs(*shape)
    return batch


def loss_of(step: Step, model: Any, reference: Any, batch: Batch) -> Any:  # noqa: ANN401
    """Return (loss, what the training loop still holds) of one forward pass.

    Raises:
        NotImplementedError: the objective has no dry run yet.
    """
    compute = _LOSSES.get(step.objective)
    if compute is None:
        raise NotImplementedError(f"the objective {step.objective} cannot be replayed yet")
    return compute(step, model, reference, batch)


def _longs(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.long, device="meta")


def _same(value: Any) -> Any:  # noqa: ANN401
    return value


def _trainer(step: Step, model: Any, reference: Any = None, **more: Any) -> Any:  # noqa: ANN401
    """Return what a trainer's loss asks of its trainer, for one process."""
    accelerator = SimpleNamespace(
        gather_for_metrics=_same,
        gather=_same,
        unwrap_model=_same,
        parallelism_config=None,
        num_processes=1,
        device=torch.device("meta"),
    )
    arguments = SimpleNamespace(
        loss_type="nll",
        average_tokens_across_devices=False,
        gradient_checkpointing_kwargs=checkpointing_arguments(step),
        center_rewards_coefficient=None,
        max_length=None,
    )
    return SimpleNamespace(
        model=model,
        ref_model=reference,
        args=arguments,
        accelerator=accelerator,
        aux_loss_enabled=getattr(model.config, "output_router_logits", False),
        router_aux_loss_coef=0.001,
        compute_loss_func=None,
        label_smoother=None,
        get_tp_size=lambda: 1,
        _tp_size=1,
        _total_train_tokens=0,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        **more,
    )


def _sft(step: Step, model: Any, reference: Any, batch: Batch) -> Any:  # noqa: ANN401
    trainer = _trainer(step, model)
    return SFTTrainer.compute_loss(trainer, model, dict(batch), num_items_in_batch=_COUNTED), None


def _causal_lm(step: Step, model: Any, reference: Any, batch: Batch) -> Any:  # noqa: ANN401
    out = model(**batch, num_items_in_batch=_COUNTED)
    return out.loss, out


def _dpo(step: Step, model: Any, reference: Any, batch: Batch) -> Any:  # noqa: ANN401
    trainer = _trainer(
        step,
        model,
        reference,
        beta=step.beta,
        ld_alpha=None,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        label_smoothing=0.0,
        use_weighting=False,
    )
    return DPOTrainer._compute_loss(trainer, model, dict(batch), False), None


def _reward(step: Step, model: Any, reference: Any, batch: Batch) -> Any:  # noqa: ANN401
    return RewardTrainer.compute_loss(_trainer(step, model), model, dict(batch)), None


def _classification(step: Step, model: Any, reference: Any, batch: Batch) -> Any:  # noqa: ANN401
    labels = batch["labels"]
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    return F.cross_entropy(logits.view(-1, step.num_labels), labels.view(-1)), None


_LOSSES: Final[dict[str, Callable[..., Any]]] = {
    "sft": _sft,
    "causal_lm": _causal_lm,
    "dpo": _dpo,
    "reward": _reward,
    "classification": _classification,
}
