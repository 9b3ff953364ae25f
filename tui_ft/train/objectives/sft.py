"""Supervised fine-tuning with trl's SFTTrainer, on tokens and labels that are made already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from tui_ft.spec import RunSpec
from tui_ft.spec.run_spec import TrainingSpec
from tui_ft.train.adapters import adapter_config
from tui_ft.train.dataset import TrainingData
from tui_ft.train.precision import Precision
from tui_ft.train.signature import checked_extra

Note = Callable[[str], None]


class SoundnessTrainer(SFTTrainer):  # type: ignore[misc]  # trl is untyped here
    """An SFTTrainer that remembers, without asking the GPU, whether every loss was finite."""

    _unsound: torch.Tensor | None = None

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Do one forward and backward pass; return its loss."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        bad = ~torch.isfinite(loss.detach())
        self._unsound = bad if self._unsound is None else self._unsound | bad
        return loss

    def was_sound(self) -> bool:
        """Tell whether all losses since the last call were finite. Waits for the GPU."""
        unsound, self._unsound = self._unsound, None
        return unsound is None or not bool(unsound.any())


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
    arguments = {
        **_schedule(spec.training, evaluates, note),
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
    config = SFTConfig(**checked_extra("training", spec.training.extra, SFTConfig, arguments))
    callbacks: list[TrainerCallback] = []
    patience = spec.training.early_stopping_patience
    if patience and evaluates:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=patience))
    return SoundnessTrainer(
        model=model,
        args=config,
        train_dataset=data.train,
        eval_dataset=data.eval if evaluates else None,
        processing_class=tokenizer,
        peft_config=adapter_config(spec.method),
        callbacks=callbacks,
    )


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


def _schedule(training: TrainingSpec, evaluates: bool, note: Note) -> dict[str, Any]:
    """Return when to evaluate and save.

    The best checkpoint can only be told if every checkpoint is evaluated, so saving falls on
    evaluations: `save_steps` becomes a multiple of `eval_steps`.
    """
    save = training.save_steps
    best = training.load_best_model_at_end and evaluates and save is not None
    patience = training.early_stopping_patience
    if patience and evaluates and not best:
        note("early stopping needs checkpoints: the best model is kept, as if asked for")
        best, save = True, save or training.eval_steps
    if best and training.eval_steps is not None and save is not None:
        aligned = _aligned(save, training.eval_steps)
        if aligned != save:
            note(
                f"save_steps {save:g} became {aligned:g}, a multiple of eval_steps, so that the "
                "best checkpoint can be told"
            )
        save = aligned
    return {
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": _steps(training.eval_steps) if evaluates else None,
        "save_strategy": "no" if save is None else "steps",
        "save_steps": 500 if save is None else _steps(save),
        "load_best_model_at_end": best,
        "metric_for_best_model": "eval_loss" if best else None,
        "greater_is_better": False if best else None,
    }


def _aligned(save: float, evaluate: float) -> float:
    """Return ``save`` as a multiple of ``evaluate``, both steps or both shares of all steps."""
    if (save < 1) != (evaluate < 1):
        return evaluate
    return max(1, round(save / evaluate)) * evaluate


def _steps(value: float | None) -> float | int | None:
    """Return steps as the trainer takes them: whole, or a share below 1."""
    return value if value is None or value < 1 else round(value)
