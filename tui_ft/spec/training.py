"""How a run is trained: the fields that trainers of all objectives share."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from tui_ft.spec.group import Extra, Fraction, Group, about
from tui_ft.spec.optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    known_optimizer,
    known_schedule,
    optimizer_arguments,
    schedule_fault,
)

AutoOrNot = Literal["auto"] | bool
"""`auto`: where it is installed and of use."""


class OutOfMemorySpec(Group):
    """What a run tries when memory runs out, instead of ending: one step of this ladder a time.

    Batches get smaller first (the same rows in a step of the optimizer, in more passes), then
    activations are computed again, then rows are cut shorter, then the base is quantised. Each
    step is taken in a new process, from the last checkpoint, and is kept in the run's record.
    """

    smaller_batches: bool = True
    """Halve the rows in a pass and double the passes; what is learned stays the same."""
    gradient_checkpointing: bool = True
    """Then turn gradient checkpointing on; what is learned stays the same."""
    min_max_length: Annotated[
        PositiveInt | None, Field(ge=8, json_schema_extra=about("tokens"))
    ] = None
    """Then halve max_length down to this, and begin anew; never when not given."""
    qlora: bool = False
    """Then hold the base of a LoRA in 4 bits (QLoRA), and begin anew."""


class _CommonFields(Group):
    learning_rate: Annotated[PositiveFloat, Field(lt=1, json_schema_extra=about(basic=True))] = 2e-4
    """Peak learning rate: LoRA 1e-4 to 2e-4, full fine-tuning 1e-5 to 5e-5."""
    num_train_epochs: Annotated[PositiveFloat, Field(json_schema_extra=about(basic=True))] = 3.0
    """How often every row is seen."""
    max_steps: Annotated[PositiveInt | None, Field(json_schema_extra=about("steps"))] = None
    """Stop after this many optimizer steps, whatever the epochs."""
    per_device_train_batch_size: Annotated[
        PositiveInt, Field(json_schema_extra=about("rows", basic=True))
    ] = 4
    """Rows in one forward pass on one device."""
    per_device_eval_batch_size: Annotated[
        PositiveInt | None, Field(json_schema_extra=about("rows"))
    ] = None
    """Rows in one forward pass of the evaluation; as in training when not given."""
    gradient_accumulation_steps: Annotated[
        PositiveInt, Field(json_schema_extra=about("passes", basic=True))
    ] = 1
    """Passes before one optimizer step; multiplies the batch without its memory."""
    max_length: Annotated[
        PositiveInt, Field(ge=8, json_schema_extra=about("tokens", basic=True))
    ] = 1024
    """Longer rows are cut to this many tokens; the preflight says how many."""
    packing: bool = False
    """Join short rows into sequences of `max_length`; saves steps when rows are short."""
    optim: Annotated[
        str, AfterValidator(known_optimizer), Field(json_schema_extra=about(choices=OPTIMIZERS))
    ] = "adamw_torch"
    """Optimizer, by transformers' name: adamw_torch, adamw_torch_fused, adamw_8bit, …"""
    lr_scheduler_type: Annotated[
        str, AfterValidator(known_schedule), Field(json_schema_extra=about(choices=SCHEDULES))
    ] = "cosine"
    """Learning-rate schedule, by transformers' name: cosine, linear, constant, …"""
    warmup_steps: NonNegativeFloat = 0.03
    """Steps of rising learning rate; below 1, a share of all steps."""
    weight_decay: NonNegativeFloat = 0.0
    """Pull of the weights towards zero."""
    max_grad_norm: NonNegativeFloat = 1.0
    """Longer gradients are scaled down to this norm; 0 turns it off."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass: far less memory, about a third slower."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Type of the arithmetic; `auto` takes bf16 where the hardware has it, else fp16, else fp32."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 42
    """Decides initial adapter weights, order of rows and dropout."""
    logging_steps: Annotated[PositiveInt, Field(json_schema_extra=about("steps"))] = 1
    """Every how many steps loss and its company are written down."""
    eval_steps: Annotated[PositiveFloat | None, Field(json_schema_extra=about("steps"))] = 0.1
    """Every how many steps the held-out rows are evaluated; below 1, a share of all steps; null
    evaluates them once, at the end (never where answers are rewarded)."""
    save_steps: Annotated[PositiveFloat | None, Field(json_schema_extra=about("steps"))] = 0.1
    """Every how many steps a checkpoint is written; below 1, a share of all steps."""
    save_total_limit: PositiveInt | None = 2
    """Only this many checkpoints are kept, the best one among them."""
    load_best_model_at_end: bool = True
    """Keep the weights of the best checkpoint: by default that of the lowest evaluation loss."""
    early_stopping_patience: PositiveInt | None = None
    """Stop after this many evaluations that are no better than the best one."""
    dataloader_num_workers: NonNegativeInt = 0
    """Processes that prepare batches."""
    on_out_of_memory: OutOfMemorySpec | None = None
    """What the run tries by itself when memory runs out; without, it ends with advice."""
    extra: Extra = Field(default_factory=dict)
    """Passed to the configuration of the objective's trainer, such as `trl.SFTConfig`."""


class _OptimizerFields(Group):
    """What the optimizer and the schedule are told beside the rate."""

    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """How long Adam remembers gradients."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """How long Adam remembers their squares; 0.95 is usual for large batches."""
    adam_epsilon: PositiveFloat = 1e-8
    """Keeps Adam from dividing by nothing."""
    optim_args: Annotated[str | None, AfterValidator(optimizer_arguments)] = None
    """What an optimizer of its own kind takes: `rank=64, scale=0.25` for galore_adamw."""
    optim_target_modules: str | list[str] | None = None
    """The layers that GaLore and APOLLO project: `all-linear`, a pattern, or names."""
    lr_scheduler_kwargs: Extra = Field(default_factory=dict)
    """What the schedule takes, such as `min_lr_rate: 0.1` for cosine_with_min_lr."""


class _RegularisingFields(Group):
    """What keeps a model from learning its rows by heart."""

    neftune_noise_alpha: PositiveFloat | None = None
    """Noise on the embeddings in training (NEFTune, arXiv:2310.05914): 5 to 15; none by default."""
    label_smoothing_factor: Fraction = 0.0
    """Share of each target that is spread over the vocabulary: 0.1 is usual; costs full logits."""


class _RowFields(Group):
    """How rows come together."""

    packing_strategy: Literal["bfd", "bfd_split", "wrapped"] = "bfd"
    """bfd: whole rows, best fit; bfd_split: long ones are split and not cut; wrapped: all of them
    one text, cut anywhere."""
    padding_free: bool = False
    """Rows of a pass side by side and none padded; needs FlashAttention."""
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = "random"
    """Order of the rows; group_by_length puts rows of about a length together: less padding."""


class _BestFields(Group):
    """By which figure the best checkpoint is known."""

    metric_for_best_model: str | None = None
    """The figure of the evaluation that tells the best checkpoint, such as `f1` of a
    classification; by default the loss, and where answers are rewarded the reward."""
    greater_is_better: bool | None = None
    """Whether more of it is better; by default so for all but what ends in `loss`."""


class _SpeedFields(Group):
    """What makes a step faster, or smaller."""

    use_liger_kernel: AutoOrNot = False
    """Liger's fused kernels (pip install liger-kernel), on an NVIDIA GPU."""
    torch_compile: bool = False
    """Compile the model: the first steps take minutes, later ones less."""
    torch_empty_cache_steps: Annotated[
        PositiveInt | None, Field(json_schema_extra=about("steps"))
    ] = None
    """Every how many steps unused GPU memory is given back: smaller peaks, slower steps."""


class TrainingSpec(
    _BestFields,
    _SpeedFields,
    _RowFields,
    _RegularisingFields,
    _OptimizerFields,
    _CommonFields,
):
    """How it is trained. Names and meaning are those of transformers and `trl.SFTConfig`."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_now(cls, values: Any) -> Any:  # noqa: ANN401 - whatever was written
        """Take out of `extra` what has a field by now: older files have it there."""
        extra = values.get("extra") if isinstance(values, dict) else None
        if not isinstance(extra, dict):
            return values
        moved = {name: extra[name] for name in _ONCE_EXTRA if name in extra and name not in values}
        rest = {name: value for name, value in extra.items() if name not in moved}
        return {**values, **moved, "extra": rest}

    @property
    def row_limit(self) -> int | None:
        """After how many tokens a row of sft is cut; None where packing splits long ones."""
        splits = self.packing and self.packing_strategy != "bfd"
        return None if splits else self.max_length

    @model_validator(mode="after")
    def _schedule_takes_them(self) -> TrainingSpec:
        fault = schedule_fault(self.lr_scheduler_type, self.lr_scheduler_kwargs)
        if fault is not None:
            raise ValueError(fault)
        return self


_ONCE_EXTRA: Final = tuple(
    name
    for group in (_OptimizerFields, _RegularisingFields, _RowFields, _SpeedFields, _BestFields)
    for name in group.model_fields
)
