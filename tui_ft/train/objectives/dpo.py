"""DPO (arXiv:2305.18290) and the losses of its kind, with trl's DPOTrainer.

trl is handed token ids and what carries loss: no template is applied a second time, and turns of
the user in the middle of an answer carry no loss.
"""

from __future__ import annotations

from typing import Any

from trl import DPOConfig, DPOTrainer

from tui_ft.spec.objectives import DpoObjective
from tui_ft.train.objectives.common import (
    AsksBeforehand,
    Job,
    Objective,
    SoundnessTrainer,
    adapter_of,
    build,
    own_fields,
)
from tui_ft.train.objectives.pairs import PairRows, StackedPairs


class DpoRunTrainer(AsksBeforehand, DPOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's DPOTrainer, sound, on tokens."""


class _ReferenceFree(DpoRunTrainer):
    """Takes the reference's log-probabilities from the batch, where they are zero."""

    def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:  # noqa: ANN401
        return dataset


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached.

    The reference is the model with its adapter switched off; full fine-tuning is given a frozen
    copy, loaded as the model itself is, unless it was asked before training.
    """
    asked = job.spec.objective
    assert isinstance(asked, DpoObjective)
    adapter = adapter_of(job)
    beforehand = asked.precompute_ref_log_probs or asked.reference_free
    own = {
        **own_fields(job, "reference_free", "loss_type"),
        "loss_type": asked.losses,
        "precompute_ref_log_probs": beforehand,
        "max_length": job.spec.training.max_length,
        "remove_unused_columns": False,
    }
    trainer: SoundnessTrainer = build(
        job,
        _ReferenceFree if asked.reference_free else DpoRunTrainer,
        DPOConfig,
        own,
        ref_model=job.load_again() if adapter is None and not beforehand else None,
        peft_config=adapter,
        data_collator=StackedPairs(
            job.tokenizer.pad_token_id, without_reference=asked.reference_free
        ),
    )
    return trainer


OBJECTIVE = Objective(maker=PairRows, build=build_trainer)
