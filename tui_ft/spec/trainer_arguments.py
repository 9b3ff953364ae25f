"""Training as trl's configuration classes take it: one translation for trainer and script."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.spec.objectives import Objective
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.optimizers import FOLLOWS_EVALUATION, passes_over_warmup
from tui_ft.spec.run_spec import RunSpec, TrainingSpec

Note = Callable[[str], None]


def plain_arguments(training: TrainingSpec) -> dict[str, Any]:
    """Return the fields that mean the same here and in `SFTConfig`."""
    return {**shared_arguments(training), **row_arguments(training)}


def row_arguments(training: TrainingSpec) -> dict[str, Any]:
    """Return how rows come together, as `SFTConfig` takes it.

    Rows are cut before the trainer has them. trl refuses to leave padding out unless it need not
    cut them itself.
    """
    alone = training.padding_free and not training.packing
    own: dict[str, Any] = {
        "max_length": None if alone else training.max_length,
        "packing": training.packing,
    }
    if training.packing and training.packing_strategy != "bfd":
        own["packing_strategy"] = training.packing_strategy
    return own | ({"padding_free": True} if training.padding_free else {})


def shared_arguments(training: TrainingSpec) -> dict[str, Any]:
    """Return the fields that mean the same here and in every trainer's configuration."""
    names = (
        "learning_rate",
        "num_train_epochs",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
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
    named = {name: getattr(training, name) for name in _UNLESS_DEFAULT}
    defaults = TrainingSpec()
    asked = {name: value for name, value in named.items() if value != getattr(defaults, name)}
    evaluation_batch = training.per_device_eval_batch_size or training.per_device_train_batch_size
    return {
        **{name: getattr(training, name) for name in names},
        **asked,
        "max_steps": training.max_steps or -1,
        "per_device_eval_batch_size": evaluation_batch,
        "logging_first_step": True,
    }


_UNLESS_DEFAULT: Final = (
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "optim_args",
    "optim_target_modules",
    "lr_scheduler_kwargs",
    "neftune_noise_alpha",
    "label_smoothing_factor",
    "train_sampling_strategy",
    "torch_compile",
    "torch_empty_cache_steps",
)
"""What is only said where it is asked for: the defaults are transformers' own."""


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


_NO_WISH: Final = (0.0, TrainingSpec().warmup_steps)


def plan_schedule(
    training: TrainingSpec, evaluates: bool, note: Note, usual: str = "eval_loss"
) -> Schedule:
    """Return when to evaluate and save.

    The best checkpoint can only be told if every checkpoint is evaluated, so saving falls on
    evaluations: `save_steps` becomes a multiple of `eval_steps`.

    Args:
        training: what was asked for.
        evaluates: whether there are rows to evaluate.
        note: called with what had to be set otherwise than asked.
        usual: the figure that tells the best checkpoint where none was asked for.
    """
    nothing = passes_over_warmup(training.lr_scheduler_type, training.optim)
    if nothing and training.warmup_steps not in _NO_WISH:
        note(
            f"the schedule {training.lr_scheduler_type} has no warm-up: training.warmup_steps "
            f"{training.warmup_steps:g} does nothing; constant_with_warmup has one"
        )
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
    }
    # Such a schedule looks at the figure, whether or not the best checkpoint is kept.
    if best or (evaluates and training.lr_scheduler_type in FOLLOWS_EVALUATION):
        arguments |= best_by(training, usual)
    return Schedule(arguments, multiple)


def evaluates_last(spec: RunSpec) -> bool:
    """Return whether rows that are held out are looked at once, after the last step.

    Where none are asked for on the way: to answer their prompts and reward it may take as long as
    training, which is not done unasked.
    """
    return spec.training.eval_steps is None and not isinstance(spec.objective, OnlineFields)


def usual_figure(objective: Objective) -> str:
    """Return by which figure the best checkpoint of an objective is known unless asked."""
    return "eval_reward" if isinstance(objective, OnlineFields) else "eval_loss"


def best_by(training: TrainingSpec, usual: str = "eval_loss") -> dict[str, Any]:
    """Return the figure by which the best checkpoint is known, and its direction.

    A schedule that follows the evaluation looks at the same figure, and is told the direction too:
    transformers leaves it at "less is better".

    Args:
        training: what was asked for.
        usual: the figure where none was.
    """
    metric = training.metric_for_best_model or usual
    asked = training.greater_is_better
    greater = not metric.endswith("loss") if asked is None else asked
    found: dict[str, Any] = {
        "metric_for_best_model": f"eval_{metric.removeprefix('eval_')}",
        "greater_is_better": greater,
    }
    if greater and training.lr_scheduler_type in FOLLOWS_EVALUATION:
        found["lr_scheduler_kwargs"] = {"mode": "max", **training.lr_scheduler_kwargs}
    return found


def _evaluations_a_save(save: float, evaluate: float) -> int:
    """Return how many evaluations come to a checkpoint: 1 where one is steps, the other a share."""
    if (save < 1) != (evaluate < 1):
        return 1
    return max(1, round(save / evaluate))


def _steps(value: float | None) -> float | int | None:
    """Return steps as the trainer takes them: whole, or a share below 1."""
    return value if value is None or value < 1 else round(value)
