"""What the trainers of all objectives share: arguments, schedule, soundness, their adapter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftType
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainerCallback

from tui_ft.hub.continuing import continued
from tui_ft.runs import events as ev
from tui_ft.runs.folder import RunFolder
from tui_ft.spec import RunSpec
from tui_ft.spec.combinations.continuing import compares_with_itself
from tui_ft.spec.kernels import LIGER, LIGER_LAYERS, uses
from tui_ft.spec.methods import (
    CHANGES_BASE,
    AdaLoraMethod,
    BottleneckMethod,
    FreezeMethod,
    FullMethod,
    PeftMethod,
    learns_keys,
    lora_init,
)
from tui_ft.spec.passed_on import own_of_training
from tui_ft.spec.trainer_arguments import (
    Note,
    evaluates_last,
    plan_schedule,
    shared_arguments,
    usual_figure,
)
from tui_ft.train.checkpoints import CheckpointKeeper
from tui_ft.train.dropout import leave_out_dropout
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.adapters import (
    Task,
    adapter_config,
    freeze_all_but_last,
    keep_initial_adapter,
    leave_out_weightless_norms,
    norms_of_checkpoint,
    refuse_missing_places,
)
from tui_ft.train.methods.continuing import adapter_further, begin_where_it_is, saved_alone
from tui_ft.train.methods.holding import hold_in_float32
from tui_ft.train.methods.named_modules import refuse_missing_modules
from tui_ft.train.methods.penalties import Penalties, Penalty
from tui_ft.train.methods.ranks import MovesRanks, Orthogonality
from tui_ft.train.methods.unfinished import load_unfinished, save_unfinished
from tui_ft.train.model import new_modules, scoring_heads
from tui_ft.train.optimizers import (
    place_states,
    readable_states,
    refuse_scaled_gradients,
    show_averages,
)
from tui_ft.train.precision import Precision
from tui_ft.train.rows.sampling import LengthOrder
from tui_ft.train.schedule import EvaluatesLast, SavesOnEvaluations, StopsEarly
from tui_ft.train.several import spread
from tui_ft.train.several.together import ALONE, Ranks
from tui_ft.train.signature import checked_extra

if TYPE_CHECKING:
    from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
    from tui_ft.train.rows.dataset import TrainingData
    from tui_ft.train.rows.protocol import RowMaker


@dataclass(frozen=True, slots=True)
class Job:
    """What a trainer is built of.

    Attributes:
        spec: the run.
        model: the base model, loaded.
        tokenizer: its tokenizer.
        data: rows of tokens.
        precision: types to compute in.
        checkpoints: the folder for checkpoints.
        on_gpu: whether there is a GPU.
        note: called with what had to be set otherwise than asked.
        load_again: loads the base model a second time, for a frozen reference.
        ranks: the run's processes.
    """

    spec: RunSpec
    model: Any
    tokenizer: Any
    data: TrainingData
    precision: Precision
    checkpoints: Path
    on_gpu: bool
    note: Note
    load_again: Callable[[], Any]
    ranks: Ranks = ALONE

    @property
    def evaluates(self) -> bool:
        """Whether held-out rows are looked at during training."""
        return self.data.eval is not None and self.spec.training.eval_steps is not None

    @property
    def evaluates_last(self) -> bool:
        """Whether they are looked at once, at the end."""
        return self.data.eval is not None and evaluates_last(self.spec)


@dataclass(frozen=True, slots=True)
class Objective:
    """A row of the table of objectives.

    Attributes:
        maker: returns what makes rows of tokens of a file's items.
        build: returns the trainer, its adapter attached. Raises RunFailure where an `extra` has an
            argument that nothing takes.
        classes: returns the names of the outputs of a scoring head; None keeps the model's own
            head, which generates text.
    """

    maker: Callable[[RunSpec, TransformersChatTokenizer], RowMaker]
    build: Callable[[Job], SoundnessTrainer]
    classes: Callable[[TrainingData], tuple[str, ...]] | None = None


class SoundnessTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped here
    """A trainer that remembers, without asking the GPU, whether every loss was finite.

    Resumed from the checkpoint of its last step it trains no further: transformers looks for the
    last step only after a step, and would make one too many.
    """

    initial_adapter: Path | None = None
    """Where the adapter lies as it began, when that took something out of the base."""
    penalties = Penalties()
    """What the method adds to the loss."""
    keeper: CheckpointKeeper | None = None
    """Makes room on the disk; None lets checkpoints lie as the trainer leaves them."""
    _unsound: torch.Tensor | None = None

    @property
    def passes_an_epoch(self) -> int:
        """How many forward and backward passes an epoch has."""
        batch: int = self.args.per_device_train_batch_size * self.args.world_size
        return math.ceil(len(self.train_dataset) / batch)

    def samples(self, count: int, step: int) -> list[ev.Sample] | None:
        """Return answers that training made by itself; None where they have to be asked for."""
        return None

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Do one forward and backward pass; return its loss, penalties included."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        scaler = self.accelerator.scaler
        added = self.penalties.add(
            1 / self.current_gradient_accumulation_steps, scaler.get_scale() if scaler else 1.0
        )
        loss = loss if added is None else loss + added
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

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Add the penalties to the figures of training."""
        if "loss" in logs:
            logs |= self.penalties.values()
        super().log(logs, *args)

    def _weights_are_finite(self) -> bool:
        trained = (p.detach() for p in self.model.parameters() if p.requires_grad)
        # Of weights that are shared out each rank looks at its own.
        own = (p.to_local() if isinstance(p, DTensor) else p for p in trained)
        return all(bool(check) for check in [p.isfinite().all() for p in own])

    def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:
        return spread.with_ddp_arguments(super()._build_accelerator_args(**kwargs), self.args)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ANN401
        rows = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        return LengthOrder(rows, self._train_batch_size, self.args)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        show_averages(self.optimizer)
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"

        def write() -> None:
            # Before what makes a checkpoint a whole one.
            if self.args.should_save:
                save_unfinished(self.model, checkpoint)
            if self.args.world_size > 1:
                # transformers takes it for the best one if it is there, and looks before FSDP has
                # written any of it: ranks that see it and ranks that do not would part here.
                checkpoint.mkdir(parents=True, exist_ok=True)
            super(SoundnessTrainer, self)._save_checkpoint(*args, **kwargs)

        if self.keeper is None:
            write()
        elif self.args.world_size > 1:  # those that save together cannot begin again one by one
            write()
            if self.args.should_save:
                self.keeper.keep_within_budget(self.state.best_model_checkpoint)
        else:
            step = self.state.global_step
            self.keeper.save(step, write, lambda: self.state.best_model_checkpoint)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ANN401
        """Write weights that were brought together as one process would: tied ones once."""
        tied = getattr(self.model, "all_tied_weights_keys", None) or {}
        if state_dict:
            state_dict = {k: v for k, v in state_dict.items() if tied.get(k) not in state_dict}
        with saved_alone(self.model):
            super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, checkpoint: str, *args: Any, **kwargs: Any) -> None:
        if not load_unfinished(self.model, Path(checkpoint)):
            super()._load_from_checkpoint(checkpoint, *args, **kwargs)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with readable_states(self.args.optim):
            super()._load_optimizer_and_scheduler(checkpoint)
        place_states(self.optimizer)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Evaluate; what is to tell the best checkpoint has to be among the figures."""
        figures = super().evaluate(*args, **kwargs)
        wanted = self.args.metric_for_best_model
        if self.args.load_best_model_at_end and wanted not in figures:
            has = ", ".join(sorted(name.removeprefix("eval_") for name in figures))
            raise RunFailure(
                f"the evaluation has no figure {wanted}, which is to tell the best checkpoint",
                f"training.metric_for_best_model may be one of {has}",
            )
        return figures

    def _determine_best_metric(self, metrics: dict[str, Any], trial: Any) -> bool:  # noqa: ANN401
        # Where no reward had an opinion there is nothing to compare.
        if metrics.get(self.args.metric_for_best_model, 0.0) is None:
            return False
        best: bool = super()._determine_best_metric(metrics, trial)
        return best

    def _load_best_model(self) -> None:
        show_averages(self.optimizer)  # it would later turn the best weights into others
        best = self.state.best_model_checkpoint
        if best is None or not load_unfinished(self.model, Path(best)):
            super()._load_best_model()

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)


class TakesTokens(SoundnessTrainer):
    """A trainer of trl's that leaves the rows as they are: they are tokens already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        return dataset


class CountsTokens(SoundnessTrainer):
    """A trainer that counts the tokens it was trained on, as trl's newer ones do by themselves."""

    _counted: torch.Tensor | None = None

    def training_step(self, model: Any, inputs: Mapping[str, Any], *args: Any) -> torch.Tensor:  # noqa: ANN401
        """Do one forward and backward pass; return its loss."""
        masks = [value for name, value in inputs.items() if name.endswith("attention_mask")]
        counted = torch.stack([mask.sum() for mask in masks]).sum()
        self._counted = counted if self._counted is None else self._counted + counted
        return super().training_step(model, inputs, *args)

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Add the tokens to the figures of training."""
        if self._counted is not None and not any(name.startswith("eval_") for name in logs):
            logs["num_tokens"] = float(self.accelerator.gather(self._counted).sum())
        super().log(logs, *args)


class AsksBeforehand(TakesTokens):
    """A trainer of trl's that may ask its reference of all rows while it is made."""

    def _precompute_ref_logps(self, *args: Any) -> Any:  # noqa: ANN401
        _begin(self)
        return super()._precompute_ref_logps(*args)


def _begin(trainer: Any) -> None:  # noqa: ANN401
    """Bring what is trained into its types, and to the weights that it begins with."""
    hold_in_float32(trainer)
    base = trainer.model.get_base_model() if _is_adapted(trainer.model) else trainer.model
    adapter, compares = getattr(base, "ftui_further", (None, False))
    if adapter is not None:
        begin_where_it_is(trainer, adapter, compares=compares)


def _is_adapted(model: Any) -> bool:  # noqa: ANN401
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def build(
    job: Job,
    trainer_class: Callable[..., Any],
    config_class: Callable[..., Any],
    own: Mapping[str, Any],
    **handed: Any,
) -> Any:  # noqa: ANN401 - whichever trainer it is
    """Return a trainer of ``trainer_class`` with what all of them share.

    Args:
        job: what it is built of.
        trainer_class: a SoundnessTrainer.
        config_class: its configuration.
        own: arguments of that configuration that only this objective has.
        handed: arguments of the trainer that only this objective has.

    Raises:
        RunFailure: an `extra` has an argument that nothing takes.
    """
    spec = job.spec
    refuse_scaled_gradients(spec.training.optim, job.precision)
    usual = usual_figure(spec.objective)
    schedule = plan_schedule(spec.training, job.evaluates, job.note, usual)
    arguments = {
        **shared_arguments(spec.training),
        **schedule.arguments,
        "output_dir": str(job.checkpoints),
        "bf16": job.precision.arithmetic == "bf16",
        "fp16": job.precision.arithmetic == "fp16",
        "use_cpu": not job.on_gpu,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # a NaN is to be seen, not smoothed over
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "data_seed": spec.training.seed,
        "dataloader_pin_memory": job.on_gpu,
        **spread.trainer_arguments(job.ranks),
        **_liger(job),
        **own,
    }
    if learns_keys(spec.method) and spec.training.gradient_checkpointing:
        job.note("prefix tuning does not go with gradient checkpointing, which is turned off")
        arguments["gradient_checkpointing"] = False
    if spec.model.backend == "unsloth":
        arguments["gradient_checkpointing"] = False  # it does so by itself, where it was asked to
    if isinstance(spec.method, FreezeMethod):
        freeze_all_but_last(job.model, spec.method.num_trainable_layers)
    if getattr(spec.objective, "disable_dropout", False):
        leave_out_dropout(handed.get("model", job.model))
    config = config_class(
        **checked_extra(
            "training", spec.training.extra, config_class, arguments, own_of_training(spec)
        )
    )
    spread.settle(config, job.ranks, job.precision)
    callbacks: list[TrainerCallback] = []
    patience = spec.training.early_stopping_patience
    if patience and job.evaluates:
        callbacks.append(StopsEarly(early_stopping_patience=patience))
    if job.evaluates_last:
        callbacks.append(EvaluatesLast())
    if schedule.evaluations_a_save is not None:
        callbacks.append(SavesOnEvaluations(schedule.evaluations_a_save))
    if isinstance(spec.method, AdaLoraMethod):
        callbacks.append(MovesRanks(spec.method))
    given = {
        "model": job.model,
        "args": config,
        "train_dataset": job.data.train,
        "eval_dataset": job.data.eval if job.evaluates or job.evaluates_last else None,
        "processing_class": job.tokenizer,
        "callbacks": callbacks,
        **handed,
    }
    job.model.ftui_further = continued(spec), compares_with_itself(spec)
    trainer = _made(trainer_class, given, spec)
    folder = RunFolder(job.checkpoints.parent)
    trainer.keeper = CheckpointKeeper(folder, spec.output.checkpoint_budget, job.note)
    _begin(trainer)
    trainer.penalties = Penalties(_penalties(job, trainer.model))
    if lora_init(spec.method) == "loftq":
        _begin_with_loftq(job, trainer.model)
    if lora_init(spec.method) in CHANGES_BASE:
        trainer.initial_adapter = keep_initial_adapter(
            trainer.model, job.checkpoints.parent / "cache" / "initial-adapter"
        )
    return trainer


def _liger(job: Job) -> dict[str, Any]:
    """Return what says whether Liger's kernels are used, and which."""
    if not uses(job.spec, LIGER, on_gpu=job.on_gpu):
        return {}
    return {"use_liger_kernel": True, "liger_kernel_config": dict(LIGER_LAYERS)}


def _penalties(job: Job, model: Any) -> list[Penalty]:  # noqa: ANN401
    """Return what the method adds to the loss."""
    method = job.spec.method
    if isinstance(method, AdaLoraMethod) and method.orth_reg_weight > 0:
        return [Orthogonality(model, method.orth_reg_weight)]
    if not isinstance(method, FullMethod) or method.ewc is None:
        return []
    from tui_ft.train.methods.ewc import consolidation

    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(job.precision.arithmetic)
    folder = job.checkpoints.parent
    return [consolidation(model, method.ewc, job.data.old or (), folder, low, job.note)]


def _begin_with_loftq(job: Job, model: Any) -> None:  # noqa: ANN401
    from tui_ft.train.methods.loftq import begin_at_the_residual

    where = job.spec.model.name_or_path
    begin_at_the_residual(model, where if Path(where).is_dir() else None)
    job.note(
        "LoftQ: the adapter makes up for what quantising took away, so it belongs on the base in "
        "4 bits, quantised as it is here"
    )


def _made(trainer_class: Callable[..., Any], given: Mapping[str, Any], spec: RunSpec) -> Any:  # noqa: ANN401
    """Return the trainer, its adapter put on the model.

    Raises:
        RunFailure: peft cannot put an adapter that it was passed onto this model.
    """
    try:
        return trainer_class(**given)
    except (ValueError, TypeError, NotImplementedError) as error:
        if not isinstance(spec.method, PeftMethod):
            raise
        reason = f"peft cannot put {spec.method.peft_type} onto this model: {error}"
        raise RunFailure(reason, "mend method.arguments") from error


def adapter_of(job: Job, task: Task = "CAUSAL_LM") -> Any:  # noqa: ANN401
    """Return the adapter that the run trains, as peft takes it; None for none.

    Raises:
        RunFailure: peft does not take it so, or it names modules that are not there.
    """
    spec = job.spec
    if spec.model.backend == "unsloth":  # which has put it on the model already
        return None
    further = continued(spec)
    if further is not None:
        return adapter_further(further, spec.method)
    if isinstance(spec.method, BottleneckMethod):
        refuse_missing_places(spec.method, job.model)
    new, heads = new_modules(job.model), scoring_heads(job.model)
    config = adapter_config(spec.method, task, new, spec.model.name_or_path, heads)
    refuse_missing_modules(config, job.model, job.note)
    if config is not None and config.peft_type == PeftType.LN_TUNING:
        leave_out_weightless_norms(config, job.model)
        norms_of_checkpoint(config, job.checkpoints)
    return config


def own_fields(job: Job, *but: str) -> dict[str, Any]:
    """Return the objective's fields as its trainer's configuration takes them, without ``but``."""
    return job.spec.objective.model_dump(exclude={"kind", *but})
