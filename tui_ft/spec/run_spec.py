"""RunSpec: everything that makes one run, as people write it down.

Field names are those of transformers, trl and peft, so that what one has read elsewhere holds here.
Every field carries its help; `unit`, `source` and `basic` ride along for forms that are made from
these models. Fields we do not name go into a group's `extra`, which is checked against the real
signature where it is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from tui_ft.spec.group import Extra, Fraction, Group, about
from tui_ft.spec.methods import FullMethod, LoraMethod, Method, QloraMethod
from tui_ft.spec.objectives import Objective, SftObjective
from tui_ft.spec.tracking import TrackingSpec
from tui_ft.vocabulary import FormatName

__all__ = [
    "DataMix",
    "DataSpec",
    "EvaluationSpec",
    "FullMethod",
    "GenerationScore",
    "HardwareSpec",
    "LoraMethod",
    "Method",
    "ModelSpec",
    "Objective",
    "OutputSpec",
    "QloraMethod",
    "RunSpec",
    "ScoreMetric",
    "SftObjective",
    "TrackingSpec",
    "TrainingSpec",
]

ScoreMetric = Literal["exact_match", "valid_json"]


class ModelSpec(Group):
    """The model that is fine-tuned."""

    name_or_path: Annotated[str, Field(min_length=1, json_schema_extra=about(basic=True))]
    """A local folder, or a model's id on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; the newest when not given."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """The type in which the weights are loaded; `auto` follows the precision of the run."""
    backend: Literal["transformers", "unsloth"] = "transformers"
    """What loads the model and puts LoRA on it; Unsloth's kernels take an NVIDIA GPU."""
    attn_implementation: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """The attention kernel; `auto` takes what transformers chooses for the model."""
    chat_template: str | None = None
    """A Jinja file that replaces the tokenizer's own chat template."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for code you have read."""
    extra: Extra = Field(default_factory=dict)
    """Passed to `AutoModelForCausalLM.from_pretrained`."""


class DataMix(Group):
    """Other data that are mixed in, such as general text against forgetting."""

    train: Annotated[str, Field(min_length=1)]
    """A file or folder of the same kinds as the training data."""
    weight: Annotated[float, Field(gt=0, lt=1, json_schema_extra=about("share of tokens"))] = 0.1
    """The share of all training tokens that come from it; its rows are repeated if need be."""
    format: Literal["auto", FormatName] = "auto"
    """How its rows are read."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Which of its columns plays which part."""


class DataSpec(Group):
    """What the model learns from, and what it is examined on."""

    train: Annotated[str, Field(min_length=1, json_schema_extra=about(basic=True))]
    """The training data: JSONL, JSON, CSV, Parquet, Arrow or text, packed or not, a folder of
    those, or a data set's id on the Hub, such as `openai/gsm8k`."""
    eval: Annotated[str | None, Field(json_schema_extra=about(basic=True))] = None
    """The evaluation data, a file or an id. Without, `eval_fraction` of the rows is held out."""
    config: str | None = None
    """Of a data set on the Hub that has several configs (its page says subset): which one."""
    train_split: str | None = None
    """Of a data set on the Hub: the split to train on; `train`, or the only one, by default."""
    eval_split: str | None = None
    """Of evaluation data on the Hub: the split, such as `test`. `eval` may be the same data set."""
    revision: str | None = None
    """Branch, tag or commit of a data set on the Hub; the newest when not given."""
    eval_fraction: Annotated[Fraction, Field(json_schema_extra=about("share of rows"))] = 0.05
    """Share of the training rows held out when there is no evaluation file; 0 for none."""
    max_eval_rows: PositiveInt | None = 512
    """At most this many held-out rows: evaluation takes time from training."""
    format: Literal["auto", FormatName] = "auto"
    """How a row is read; `auto` finds it and says why."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Which of the file's columns plays which part, such as `prompt: question`."""
    max_rows: PositiveInt | None = None
    """Take only the first rows of the training file."""
    split_seed: NonNegativeInt = 42
    """Decides which rows are held out, and which are mixed in."""
    mix: DataMix | None = None
    """Other data mixed into the training rows; none of them are held out."""


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
    extra: Extra = Field(default_factory=dict)
    """Passed to the configuration of the objective's trainer, such as `trl.SFTConfig`."""


class GenerationScore(Group):
    """Real answers to held-out rows, generated before and after training, and graded."""

    rows: Annotated[PositiveInt, Field(json_schema_extra=about("rows"))] = 64
    """How many held-out rows are answered."""
    metrics: list[ScoreMetric] = Field(default=["exact_match"])
    """exact_match: equal to the reference but for outer space; valid_json: parses as JSON."""
    max_new_tokens: Annotated[PositiveInt, Field(json_schema_extra=about("tokens"))] = 128
    """An answer is cut here."""
    batch_size: Annotated[PositiveInt, Field(json_schema_extra=about("rows"))] = 8
    """Rows generated at once."""


class EvaluationSpec(Group):
    """What is looked at beside the loss on held-out rows."""

    samples: Annotated[NonNegativeInt, Field(le=8, json_schema_extra=about("rows"))] = 2
    """Held-out rows answered at each evaluation, to be read in the monitor; 0 for none."""
    sample_max_new_tokens: Annotated[PositiveInt, Field(json_schema_extra=about("tokens"))] = 64
    """A sample is cut here."""
    score: GenerationScore | None = None
    """Generate answers before and after training and grade them."""


class HardwareSpec(Group):
    """What the run may use."""

    gpus: Literal["auto", "none"] | list[Annotated[int, Field(ge=0)]] = Field(
        default="auto", json_schema_extra=about(basic=True)
    )
    """`auto`: one GPU, the CPU when there is none; `none`: the CPU; or the GPUs' numbers."""
    cpu_threads: PositiveInt | None = None
    """Threads of the arithmetic on the CPU; torch's choice when not given."""

    @model_validator(mode="after")
    def _no_gpu_twice(self) -> HardwareSpec:
        if isinstance(self.gpus, list):
            if not self.gpus:
                raise ValueError("an empty list: write `none` for the CPU, or the GPUs' numbers")
            if len(set(self.gpus)) != len(self.gpus):
                raise ValueError(f"a GPU is named twice: {self.gpus}")
        return self


class OutputSpec(Group):
    """What is kept when the run ends."""

    keep_checkpoints: bool = True
    """Keep the checkpoints after a finished run; a stopped run keeps them always."""


class RunSpec(Group):
    """One run, whole: enough to start the same run elsewhere."""

    version: Literal[1] = 1
    """The version of this format."""
    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", json_schema_extra=about(basic=True)),
    ] = "run"
    """What the run is called: letters, digits, `.`, `_`, `-`; its folder takes this name."""
    description: str = ""
    """A sentence for those who read the list later; of a preset, when to use it."""
    model: ModelSpec
    data: DataSpec
    objective: Objective = Field(default_factory=SftObjective)
    method: Method = Field(default_factory=LoraMethod)
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec)
    hardware: HardwareSpec = Field(default_factory=HardwareSpec)
    output: OutputSpec = Field(default_factory=OutputSpec)
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)

    @model_validator(mode="before")
    @classmethod
    def _sft_unless_said(cls, values: Any) -> Any:  # noqa: ANN401 - whatever was written
        """Take an objective without a kind for SFT: files are older than the others."""
        given = values.get("objective") if isinstance(values, dict) else None
        if not isinstance(given, dict) or "kind" in given:
            return values
        return {**values, "objective": {"kind": "sft", **given}}

    @model_validator(mode="after")
    def _best_needs_evaluation(self) -> RunSpec:
        evaluates = self.training.eval_steps is not None and (
            self.data.eval is not None or self.data.eval_fraction > 0
        )
        if self.training.early_stopping_patience and not evaluates:
            raise ValueError(
                "training.early_stopping_patience needs an evaluation: "
                "set training.eval_steps and data.eval or data.eval_fraction"
            )
        return self
