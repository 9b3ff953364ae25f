"""Supervised fine-tuning with trl's SFTTrainer, on tokens and labels that are made already."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from tui_ft.spec import RunSpec
from tui_ft.spec.run_spec import TrainingSpec
from tui_ft.spec.trainer_arguments import Note, plain_arguments, plan_schedule
from tui_ft.train.adapters import adapter_config
from tui_ft.train.dataset import TrainingData
from tui_ft.train.precision import Precision
from tui_ft.train.signature import checked_extra

_RESERVED: Final = (
    "output_dir",
    "bf16",
    "fp16",
    "use_cpu",
    "eval_strategy",
    "save_strategy",
    "save_only_model",
    "logging_nan_inf_filter",
    "resume_from_checkpoint",
)
"""Arguments on which resuming, or the promise to keep the last good checkpoint, depends."""


class SoundnessTrainer(SFTTrainer):  # type: ignore[misc]  # trl is untyped here
    """An SFTTrainer that remembers, without asking the GPU, whether every loss was finite.

    Resumed from the checkpoint of its last step it trains no further: transformers looks for the
    last step only after a step, and would make one too many.
    """

    _unsound: torch.Tensor | None = None

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Do one forward and backward pass; return its loss."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        bad = ~torch.isfinite(loss.detach())
        self._unsound = bad if self._unsound is None else self._unsound | bad
        return loss

    def was_sound(self, *, with_weights: bool = False) -> bool:
        """Tell whether all losses since the last call were finite. Waits for the GPU.

        Args:
            with_weights: look at the trained weights as well. A gradient may overflow though its
                loss was finite; only the loss of the next step would show it.
        """
        unsound, self._unsound = self._unsound, None
        if unsound is not None and bool(unsound.any()):
            return False
        return not with_weights or self._weights_are_finite()

    def _weights_are_finite(self) -> bool:
        checks = [p.detach().isfinite().all() for p in self.model.parameters() if p.requires_grad]
        return all(bool(check) for check in checks)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)


class _SavesOnEvaluations(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Makes every ``multiple``-th evaluation a checkpoint.

    Shares of all steps are rounded up to steps one by one, so that 0.1 and 0.2 of 25 steps become
    3 and 5, which never meet; transformers compares the shares alone.
    """

    def __init__(self, multiple: int) -> None:
        self._multiple = multiple

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Set the steps between checkpoints, those between evaluations being known now."""
        state.save_steps = state.eval_steps * self._multiple


def build_trainer(
    spec: RunSpec,
    model: Any,  # noqa: ANN401 - transformers is untyped here
    tokenizer: Any,  # noqa: ANN401
    data: TrainingData,
    precision: Precision,
    *,
    checkpoints: Path,
    on_gpu: bool,
    note: Note,
) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached.

    Args:
        spec: the run.
        model: the base model, loaded.
        tokenizer: its tokenizer.
        data: tokens and labels.
        precision: types to compute in.
        checkpoints: the folder for checkpoints.
        on_gpu: whether there is a GPU.
        note: called with what had to be set otherwise than asked.

    Raises:
        RunFailure: an `extra` has an argument that nothing takes.
    """
    evaluates = data.eval is not None and spec.training.eval_steps is not None
    schedule = plan_schedule(spec.training, evaluates, note)
    arguments = {
        **schedule.arguments,
        **plain_arguments(spec.training),
        "output_dir": str(checkpoints),
        "bf16": precision.arithmetic == "bf16",
        "fp16": precision.arithmetic == "fp16",
        "use_cpu": not on_gpu,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # a NaN is to be seen, not smoothed over
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "data_seed": spec.training.seed,
        "dataloader_pin_memory": on_gpu,
    }
    own = (*TrainingSpec.model_fields, *_RESERVED)
    config = SFTConfig(**checked_extra("training", spec.training.extra, SFTConfig, arguments, own))
    callbacks: list[TrainerCallback] = []
    patience = spec.training.early_stopping_patience
    if patience and evaluates:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=patience))
    if schedule.evaluations_a_save is not None:
        callbacks.append(_SavesOnEvaluations(schedule.evaluations_a_save))
    trainer = SoundnessTrainer(
        model=model,
        args=config,
        train_dataset=data.train,
        eval_dataset=data.eval if evaluates else None,
        processing_class=tokenizer,
        peft_config=adapter_config(spec.method),
        callbacks=callbacks,
    )
    _hold_adapter_in_float32(trainer.model)
    return trainer


def _hold_adapter_in_float32(model: torch.nn.Module) -> None:
    """Hold what a 4-bit base is trained with in float32, as LoRA on a 16-bit base does.

    trl casts it to bfloat16, and peft loads a checkpoint as float32: a resumed run would go on in
    another arithmetic than it began in.
    """
    if not getattr(model, "is_loaded_in_4bit", False):
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
