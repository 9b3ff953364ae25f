"""How each objective looks in a script: which trainer, which rows, which arguments of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tui_ft.spec import RunSpec
from tui_ft.spec.objectives import (
    ClassificationObjective,
    DpoObjective,
    KtoObjective,
)

Named = Mapping[str, Any]
_MASKED: Final = "each row is the text that the model reads, put through its\nchat template, and "
_LEARNED: Final = "which characters of it are learned (`learned`, as [begin, end) pairs)."


def _nothing(_: RunSpec) -> Named:
    return {}


def _own(spec: RunSpec, *but: str) -> dict[str, Any]:
    return spec.objective.model_dump(exclude={"kind", *but})


@dataclass(frozen=True, slots=True)
class Form:
    """A row of the table.

    Attributes:
        name: of the objective, in words.
        imports: the line that imports the trainer.
        trainer: its class as the script calls it; `config` that of its configuration.
        parts: the files of `parts` that make rows and batches, in this order.
        rows: what a row of the file is, in words.
        own: arguments of the configuration that only this objective has.
        constants: values that the parts ask for.
        scores: the model has a head that scores instead of writing.
        compares: full fine-tuning holds a frozen copy to compare with.
        dataset: the rows as the trainer takes them; `{}` stands for the list.
    """

    name: str
    imports: str
    trainer: str
    config: str
    parts: tuple[str, ...]
    rows: str = _MASKED + _LEARNED
    own: Callable[[RunSpec], Named] = _nothing
    constants: Callable[[RunSpec], Named] = _nothing
    scores: bool = False
    compares: bool = False
    dataset: str = "Dataset.from_list({})"
    handed: tuple[str, ...] = ("data_collator=collate,",)


def _on_tokens(spec: RunSpec) -> Named:
    return {**_own(spec), "max_length": spec.training.max_length, "remove_unused_columns": False}


def _sft(spec: RunSpec) -> Named:
    return {"max_length": spec.training.max_length, "packing": spec.training.packing}


def _dpo(spec: RunSpec) -> Named:
    asked = spec.objective
    assert isinstance(asked, DpoObjective), "the table has it for dpo alone"
    return {
        **_on_tokens(spec),
        "loss_type": asked.losses,
        "reference_free": None,
        "precompute_ref_log_probs": asked.precompute_ref_log_probs or asked.reference_free,
    }


def _kto(spec: RunSpec) -> Named:
    return {**_on_tokens(spec), "train_sampling_strategy": "sequential"}


def _reference_free(spec: RunSpec) -> Named:
    return {"REFERENCE_FREE": getattr(spec.objective, "reference_free", False)}


def _with_kl(spec: RunSpec) -> Named:
    assert isinstance(spec.objective, KtoObjective), "the table has it for kto alone"
    return {"WITH_KL": spec.objective.loss_type == "kto"}


_PAIRS: Final = (
    "each row is a better and a worse answer as the model reads them, with\ntheir prompt, and "
)
_FORMS: Final = {
    "sft": Form(
        "supervised fine-tuning",
        "from trl import SFTConfig, SFTTrainer",
        *("SFTTrainer", "SFTConfig"),
        ("masked", "answers"),
        own=_sft,
        handed=(),
    ),
    "pretraining": Form(
        "continued pretraining",
        "from trl import SFTConfig, SFTTrainer",
        *("SFTTrainer", "SFTConfig"),
        ("texts",),
        rows="each row is a whole text; all of it is learned.",
        own=_sft,
        handed=(),
    ),
    "dpo": Form(
        "DPO",
        "from trl import DPOConfig, DPOTrainer",
        *("OnTokens", "DPOConfig"),
        ("masked", "batches", "pairs", "stacked"),
        rows=_PAIRS + _LEARNED,
        own=_dpo,
        constants=_reference_free,
        compares=True,
    ),
    "kto": Form(
        "KTO",
        "from trl import KTOConfig, KTOTrainer",
        *("OnTokens", "KTOConfig"),
        ("masked", "batches", "judged"),
        rows="each row is one answer or two as the model reads them, whether they are\ngood, and "
        + _LEARNED,
        own=_kto,
        constants=_with_kl,
        compares=True,
    ),
    "orpo": Form(
        "ORPO",
        "from trl.experimental.orpo import ORPOConfig, ORPOTrainer",
        *("ORPOTrainer", "ORPOConfig"),
        ("masked", "batches", "pairs", "side_by_side"),
        rows=_PAIRS + _LEARNED,
        own=_on_tokens,
        dataset="Tokens(Dataset.from_list({}))",
    ),
    "cpo": Form(
        "CPO",
        "from trl.experimental.cpo import CPOConfig, CPOTrainer",
        *("CPOTrainer", "CPOConfig"),
        ("masked", "batches", "pairs", "side_by_side"),
        rows=_PAIRS + _LEARNED,
        own=_on_tokens,
        dataset="Tokens(Dataset.from_list({}))",
    ),
    "reward": Form(
        "a reward model",
        "from trl import RewardConfig, RewardTrainer",
        *("OnTokens", "RewardConfig"),
        ("masked", "batches", "pairs", "scored"),
        rows="each row is a better and a worse answer as the model reads them.",
        own=_on_tokens,
        scores=True,
    ),
    "classification": Form(
        "sequence classification",
        "from transformers import Trainer, TrainingArguments",
        *("Classifier", "TrainingArguments"),
        ("batches", "labelled"),
        rows="each row is a text and its class.",
        own=lambda _: {"remove_unused_columns": False, "label_names": ["labels"]},
        scores=True,
        handed=("data_collator=collate,", "compute_metrics=scores,"),
    ),
}
"""The kind of an objective in a RunSpec -> its form."""


def form_of(spec: RunSpec) -> Form | None:
    """Return the form of a run's objective; None where it has none."""
    return _FORMS.get(spec.objective.kind)


def class_weights(objective: object, classes: Mapping[str, int]) -> list[float] | None:
    """Return the weight of each class in the order of the outputs, as the trainer weighs them.

    `balanced` gives n / (k n_c) for a class with n_c of n rows and k classes.
    """
    assert isinstance(objective, ClassificationObjective), "only asked of classifications"
    asked = objective.class_weights
    if asked is None:
        return None
    if asked == "balanced":
        whole = sum(classes.values())
        return [whole / (len(classes) * rows) for rows in classes.values()]
    return [asked.get(name, 1.0) for name in classes]
