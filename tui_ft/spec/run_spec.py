"""RunSpec: everything that makes one run, as people write it down.

Field names are those of transformers, trl and peft, so that what one has read elsewhere holds here.
Every field carries its help; `unit`, `source` and `basic` ride along for forms that are made from
these models. Fields we do not name go into a group's `extra`, which is checked against the real
signature where it is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from tui_ft.spec.distributed import DdpStrategy, Distributed, Strategy
from tui_ft.spec.group import Extra, Fraction, Group, about
from tui_ft.spec.methods import FullMethod, LoraMethod, Method, QloraMethod
from tui_ft.spec.objectives import Objective, SftObjective
from tui_ft.spec.tracking import TrackingSpec
from tui_ft.spec.training import AutoOrNot, TrainingSpec
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
    """A local folder, a model's or an adapter's id on the Hub, or `run:NAME`: what a run left."""
    adapter: Literal["merge", "continue"] = "merge"
    """Where it names an adapter: merge it into its base first and train anew on that, or continue:
    train the same adapter further on its base as it is, quantised or not."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; the newest when not given."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """The type in which the weights are loaded; `auto` follows the precision of the run."""
    backend: Literal["transformers", "unsloth"] = "transformers"
    """What loads the model and puts LoRA on it; Unsloth's kernels take an NVIDIA GPU."""
    attn_implementation: Literal[
        "auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3"
    ] = "auto"
    """The attention kernel; `auto` takes what transformers chooses for the model. FlashAttention
    takes its package (flash-attn, flash-attn-3) or that of the Hub's kernels, and a GPU."""
    use_kernels: AutoOrNot = False
    """Kernels of the Hub (pip install kernels) in place of the model's own, on a GPU."""
    chat_template: str | None = None
    """A Jinja file that replaces the tokenizer's own chat template; or the name of one that ftui
    ships: plain (roles in plain words, for base models), chatml."""
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
    """Which of the file's columns plays which part, such as `prompt: question`; `reference` is what
    rewards compare with, and may lie within a column: `reference: reward_model.ground_truth`."""
    max_rows: PositiveInt | None = None
    """Take only the first rows of the training file."""
    split_seed: NonNegativeInt = 42
    """Decides which rows are held out, and which are mixed in."""
    mix: DataMix | None = None
    """Other data mixed into the training rows; none of them are held out."""


class GenerationScore(Group):
    """Real answers to held-out rows, generated before and after training, and graded."""

    rows: Annotated[PositiveInt, Field(json_schema_extra=about("rows"))] = 64
    """How many held-out rows are answered."""
    metrics: list[ScoreMetric] = Field(default=["exact_match"], min_length=1)
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
    """`auto`: the GPUs with most free memory, the CPU when there are none; `none`: the CPU; or the
    GPUs' numbers. Several mean DDP unless `distributed` says otherwise."""
    num_gpus: Annotated[PositiveInt | None, Field(json_schema_extra=about("GPUs", basic=True))] = (
        None
    )
    """With `gpus: auto`, how many; when not given one, or with `distributed` all that are there."""
    distributed: Distributed | None = None
    """How the run is spread over several GPUs."""
    cpu_processes: Annotated[PositiveInt | None, Field(json_schema_extra=about("processes"))] = None
    """With `gpus: none`, how many processes train on the CPU: to try out what several GPUs do."""
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

    @model_validator(mode="after")
    def _counts_go_together(self) -> HardwareSpec:
        if self.num_gpus is not None:
            if self.gpus == "none":
                raise ValueError("num_gpus is for GPUs, and gpus is none: leave one of them out")
            if isinstance(self.gpus, list) and len(self.gpus) != self.num_gpus:
                raise ValueError(
                    f"gpus names {len(self.gpus)} and num_gpus says {self.num_gpus}: "
                    "leave num_gpus out, or set gpus to auto"
                )
        if self.cpu_processes is not None and self.gpus != "none":
            raise ValueError("cpu_processes is for the CPU: set gpus to none, or leave it out")
        if self.distributed is not None and self.processes == 1:
            raise ValueError(
                "distributed spreads a run over several processes, and there is one: name several "
                "GPUs in gpus or set num_gpus (cpu_processes on the CPU), or leave distributed out"
            )
        return self

    @property
    def processes(self) -> int | None:
        """How many processes train; None where that depends on the machine: one, or one a GPU."""
        if self.gpus == "none":
            return self.cpu_processes or 1
        if isinstance(self.gpus, list):
            return len(self.gpus)
        return self.num_gpus or (None if self.distributed is not None else 1)

    def processes_on(self, gpus: int) -> int:
        """Return how many processes train where ``gpus`` GPUs are given; one for each."""
        return gpus or self.cpu_processes or 1

    def strategy(self, processes: int) -> Strategy | None:
        """Return how a run of ``processes`` processes is spread; None for one."""
        if processes == 1:
            return None
        return self.distributed or DdpStrategy()


class OutputSpec(Group):
    """What is kept when the run ends."""

    keep_checkpoints: bool = True
    """Keep the checkpoints after a finished run; a stopped run keeps them always."""
    checkpoint_budget: Annotated[PositiveFloat | None, Field(json_schema_extra=about("GB"))] = None
    """What checkpoints may take of the disk together; below 1, a share of what is free. The oldest
    go first, the best and the last one never."""


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
