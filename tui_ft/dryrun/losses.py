"""The loss of a step, by the trainers' own code, and the batch that they would hand to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from trl import DPOTrainer, KTOTrainer, RewardTrainer, SFTTrainer

from tui_ft.dryrun.model import Others
from tui_ft.dryrun.rollouts import ROLLOUT_LOSSES, rollout_batch
from tui_ft.dryrun.trainers import Batch, bare_trainer, longs
from tui_ft.memory.step import GENERATES, PAIRED, Step

_COUNTED: Final = 100  # any number of supervised tokens: a loss is divided by it


_REFERENCE_SAID: Final = {
    "dpo": ("ref_chosen_logps", "ref_rejected_logps"),
    "kto": ("ref_logps", "ref_KL_logps"),
}
"""What the reference said of each row before training."""


def make_batch(step: Step, length: int) -> Batch:
    """Return what the data collator would hand over, on meta.

    Pairs stand behind each other, chosen first: 2 B rows of (length) token ids.
    """
    objective = step.objective
    if objective in GENERATES:
        return rollout_batch(step, length)
    if objective in ("orpo", "cpo", "simpo"):
        return _sides(step.batch, length)
    shape = (step.batch * (2 if objective in PAIRED else 1), length)
    batch = {"input_ids": longs(*shape)}
    if step.padded or objective != "causal_lm":
        batch["attention_mask"] = longs(*shape)
    if step.reference_known:
        said = _REFERENCE_SAID.get(objective, ())
        batch |= {name: torch.zeros(step.batch, device="meta") for name in said}
    match objective:
        case "dpo":
            batch["completion_mask"] = longs(*shape)
        case "kto":
            batch["completion_mask"] = longs(*shape)
            batch["label"] = longs(step.batch).bool()
            # Each prompt with another row's answer, from which the divergence is estimated.
            batch |= {
                f"KL_{name}": longs(*shape)
                for name in ("input_ids", "attention_mask", "completion_mask")
            }
        case "classification":
            batch["labels"] = longs(step.batch)
        case "reward":
            pass
        case _:
            batch["labels"] = longs(*shape)
    return batch


def _sides(rows: int, length: int) -> Batch:
    """Return pairs as trl's experimental trainers have them: each side by itself, and prompts."""
    parts = ("input_ids", "attention_mask", "labels")
    sides = {f"{side}_{part}": (side, part) for side in ("chosen", "rejected") for part in parts}
    prompts = {f"prompt_{part}": longs(rows, length // 2) for part in parts[:2]}
    return {name: longs(rows, length) for name in sides} | prompts


def loss_of(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    """Return (loss, what the training loop still holds) of one forward pass."""
    return _LOSSES[step.objective](step, model, others, batch)


def _sft(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    trainer = bare_trainer(SFTTrainer, step, model)
    return SFTTrainer.compute_loss(trainer, model, dict(batch), num_items_in_batch=_COUNTED), None


def _causal_lm(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    out = model(**batch, num_items_in_batch=_COUNTED)
    return out.loss, out


def _dpo(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    trainer = bare_trainer(
        DPOTrainer,
        step,
        model,
        others.reference,
        ld_alpha=None,
        precompute_ref_logps=step.reference_known,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        label_smoothing=0.0,
        use_weighting=False,
    )
    return trainer._compute_loss(model, dict(batch), False), None


def _kto(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    trainer = bare_trainer(
        KTOTrainer,
        step,
        model,
        others.reference,
        loss_type="kto",
        calculate_KL=True,
        precompute_ref_logps=step.reference_known,
        desirable_weight=1.0,
        undesirable_weight=1.0,
    )
    return trainer._compute_loss(model, dict(batch), False), None


def _orpo(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    from trl.experimental.orpo import ORPOTrainer  # it warns that it may change

    trainer = bare_trainer(ORPOTrainer, step, model, _peft_has_been_casted_to_bf16=False)
    return trainer.compute_loss(model, dict(batch)), None


def _cpo(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    from trl.experimental.cpo import CPOTrainer

    simple = step.objective == "simpo"
    trainer = bare_trainer(
        CPOTrainer,
        step,
        model,
        loss_type="simpo" if simple else "sigmoid",
        cpo_alpha=0.0 if simple else 1.0,  # SimPO has no likelihood term (arXiv:2405.14734)
        simpo_gamma=0.5,
        alpha=0.0,
        label_smoothing=0.0,
        _peft_has_been_casted_to_bf16=False,
    )
    return trainer.compute_loss(model, dict(batch)), None


def _reward(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    trainer = bare_trainer(RewardTrainer, step, model)
    return RewardTrainer.compute_loss(trainer, model, dict(batch)), None


def _classification(step: Step, model: Any, others: Others, batch: Batch) -> Any:  # noqa: ANN401
    labels = batch["labels"]
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    return F.cross_entropy(logits.view(-1, step.num_labels), labels.view(-1)), None


_LOSSES: Final[dict[str, Callable[..., Any]]] = {
    "sft": _sft,
    "causal_lm": _causal_lm,
    "dpo": _dpo,
    "kto": _kto,
    "orpo": _orpo,
    "cpo": _cpo,
    "simpo": _cpo,
    "reward": _reward,
    "classification": _classification,
    **ROLLOUT_LOSSES,
}
