"""Supervised fine-tuning with trl's SFTTrainer, on tokens and labels that are made already."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
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
from tui_ft.train.adapters import adapter_config
from tui_ft.train.dataset import TrainingData
from tui_ft.train.precision import Precision
from tui_ft.train.signature import checked_extra

Note = Callable[[str], None]

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
        **_plain(spec.training),
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


def _plain(training: TrainingSpec) -> dict[str, Any]:
    """Return the fields that mean the same here and there."""
    names = (
        "learning_rate",
        "num_train_epochs",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "max_length",
        "packing",
        "optim",
        "lr_scheduler_type",
        "warmup_steps",
        "weight_decay",
        "max_grad_norm",
        "gradient_checkpointing",
        "seed",
        "logging_steps",
        "save_total_limit",
        "dataloader_num_workers",
    )
    evaluation_batch = training.per_device_eval_batch_size or training.per_device_train_batch_size
    return {
        **{name: getattr(training, name) for name in names},
        "max_steps": training.max_steps or -1,
        "per_device_eval_batch_size": evaluation_batch,
        "logging_first_step": True,
    }


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a run evaluates and saves.

    Attributes:
        arguments: for `SFTConfig`.
        evaluations_a_save: every which evaluation becomes a checkpoint; None when saving goes by
            its own steps.
    """

    arguments: dict[str, Any]
    evaluations_a_save: int | None = None


def plan_schedule(training: TrainingSpec, evaluates: bool, note: Note) -> Schedule:
    """Return when to evaluate and save.

    The best checkpoint can only be told if every checkpoint is evaluated, so saving falls on
    evaluations: `save_steps` becomes a multiple of `eval_steps`.

    Args:
        training: what was asked for.
        evaluates: whether there are rows to evaluate.
        note: called with what had to be set otherwise than asked.
    """
    save = training.save_steps
    best = training.load_best_model_at_end and evaluates and save is not None
    patience = training.early_stopping_patience
    if patience and not evaluates:
        note("no row is held out, so there is no early stopping: raise data.eval_fraction")
    if patience and evaluates and not best:
        note("early stopping needs checkpoints: the best model is kept, as if asked for")
        best, save = True, save or training.eval_steps
    multiple = None
    if best and training.eval_steps is not None and save is not None:
        multiple = _evaluations_a_save(save, training.eval_steps)
        aligned = multiple * training.eval_steps
        if not math.isclose(aligned, save):
            note(
                f"save_steps {save:g} became {aligned:g}, a multiple of eval_steps, so that the "
                "best checkpoint can be told"
            )
        save = training.eval_steps
    arguments = {
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": _steps(training.eval_steps) if evaluates else None,
        "save_strategy": "no" if save is None else "steps",
        "save_steps": 500 if save is None else _steps(save),
        "load_best_model_at_end": best,
        "metric_for_best_model": "eval_loss" if best else None,
        "greater_is_better": False if best else None,
    }
    return Schedule(arguments, multiple)


def _evaluations_a_save(save: float, evaluate: float) -> int:
    """Return how many evaluations come to a checkpoint: 1 where one is steps, the other a share."""
    if (save < 1) != (evaluate < 1):
        return 1
    return max(1, round(save / evaluate))


def _steps(value: float | None) -> float | int | None:
    """Return steps as the trainer takes them: whole, or a share below 1."""
    return value if value is None or value < 1 else round(value)
