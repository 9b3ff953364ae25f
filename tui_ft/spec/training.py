"""How a run is trained: the fields that trainers of all objectives share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from tui_ft.spec.group import Extra, Group, about


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


class TrainingSpec(Group):
    """How it is trained. Names and meaning are those of transformers and `trl.SFTConfig`."""

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
    optim: str = "adamw_torch"
    """Optimizer, by transformers' name: adamw_torch, adamw_torch_fused, adamw_8bit, …"""
    lr_scheduler_type: str = "cosine"
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
    seed: NonNegativeInt = 42
    """Decides initial adapter weights, order of rows and dropout."""
    logging_steps: Annotated[PositiveInt, Field(json_schema_extra=about("steps"))] = 1
    """Every how many steps loss and its company are written down."""
    eval_steps: Annotated[PositiveFloat | None, Field(json_schema_extra=about("steps"))] = 0.1
    """Every how many steps the held-out rows are evaluated; below 1, a share of all steps."""
    save_steps: Annotated[PositiveFloat | None, Field(json_schema_extra=about("steps"))] = 0.1
    """Every how many steps a checkpoint is written; below 1, a share of all steps."""
    save_total_limit: PositiveInt | None = 2
    """Only this many checkpoints are kept, the best one among them."""
    load_best_model_at_end: bool = True
    """Keep the weights of the checkpoint with the lowest evaluation loss."""
    early_stopping_patience: PositiveInt | None = None
    """Stop after this many evaluations without a lower loss."""
    dataloader_num_workers: NonNegativeInt = 0
    """Processes that prepare batches."""
    on_out_of_memory: OutOfMemorySpec | None = None
    """What the run tries by itself when memory runs out; without, it ends with advice."""
    extra: Extra = Field(default_factory=dict)
    """Passed to the configuration of the objective's trainer, such as `trl.SFTConfig`."""
