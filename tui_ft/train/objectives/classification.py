"""Sequence classification with transformers' Trainer, for encoders and decoders alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from datasets import Sequence as ListOf
from datasets import Value
from peft import get_peft_model
from transformers import EvalPrediction, TrainingArguments, set_seed

from tui_ft import text
from tui_ft.data.classes import are_others, in_order
from tui_ft.data.items import AnyItem, Labelled
from tui_ft.hub.class_names import class_names
from tui_ft.hub.continuing import continues
from tui_ft.spec import RunSpec
from tui_ft.spec.objectives import ClassificationObjective
from tui_ft.train.errors import RunFailure
from tui_ft.train.model import new_modules, scoring_heads
from tui_ft.train.objectives.common import (
    CountsTokens,
    Job,
    Objective,
    SoundnessTrainer,
    adapter_of,
    build,
)
from tui_ft.train.objectives.pairs import Batch, attention_of, padded
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.dataset import TrainingData
from tui_ft.train.rows.protocol import NO_ITEM, TokenRow, Totals

_FEATURES: Final = {"input_ids": ListOf(Value("int32")), "label": Value("string")}
_FEW: Final = 10
_LEAST_CLASSES: Final = 2


class LabelledRows:
    """Rows of a text's tokens, as the model is given it by itself, and the name of its class."""

    def __init__(
        self,
        spec: RunSpec,
        tokenizer: TransformersChatTokenizer,
        known: Sequence[str] | None = None,
    ) -> None:
        self._spec, self._tokenizer, self._known = spec, tokenizer, known
        model = spec.model
        self.head = class_names(model.name_or_path, model.revision) if known is None else ()
        # An encoder has a place for so many tokens and breaks at one more.
        self._max_length = min(spec.training.max_length, tokenizer.longest)
        self._tokens = self._longest = self._cut = 0
        self.counts: Counter[str] = Counter()

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns of a row."""
        return _FEATURES

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the model's outputs; see `in_order`."""
        return in_order(self.counts, self.head)

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the row that a text becomes; see `RowMaker`."""
        if not isinstance(item, Labelled):
            return NO_ITEM
        if self._known is not None and item.label not in self._known:
            return f"no training row is of its class {text.one_line(item.label, 40)}"
        ids = self._tokenizer.encode_alone(item.text, self._max_length)
        # Only a row that is full can have been cut.
        full = len(ids) == self._max_length
        self._cut += full and self._tokenizer.length_alone(item.text) > self._max_length
        self._tokens += len(ids)
        self._longest = max(self._longest, len(ids))
        self.counts[item.label] += 1
        return [{"input_ids": ids, "label": item.label}]

    def beside(self) -> LabelledRows:
        """Return a maker for the evaluation's file, which may hold no other classes."""
        return LabelledRows(self._spec, self._tokenizer, self.classes)

    def refusal(self) -> str | None:
        """Return why the rows would teach nothing; else None."""
        if self._known is None and continues(self._spec) and are_others(self.counts, self.head):
            return f"{self._others()}: set model.adapter to merge, and a new head begins"
        if self._known is not None or len(self.counts) >= _LEAST_CLASSES:
            return None
        return (
            f"all rows are of one class, {text.one_line(self.classes[0], 40)}"
            if self.counts
            else "no row is left to learn from"
        )

    def warnings(self) -> list[str]:
        """Return how many rows are cut, and which classes have hardly any rows."""
        said = []
        if self._cut:
            share = text.percent(self._cut / self.counts.total())
            whose = "training.max_length of"
            if self._max_length < self._spec.training.max_length:
                whose = "the model's own limit of"
            said.append(f"{whose} {self._max_length} tokens cuts {share} of rows")
        if self._known is None and are_others(self.counts, self.head):
            said.append(f"{self._others()}: it begins anew")
        elif self._known is None and len(self.classes) > len(self.counts):
            without = ", ".join(name for name in self.classes if name not in self.counts)
            said.append(f"classes without a row, which the model's head has: {without}")
        few = [f"{text.one_line(n, 40)} ({c})" for n, c in self.counts.items() if c < _FEW]
        if few and self._known is None:
            named = ", ".join(sorted(few)[:_FEW])
            said.append(f"classes with fewer than {_FEW} rows are hardly learned: {named}")
        return said

    def _others(self) -> str:
        known, there = (
            ", ".join(text.one_line(name, 40) for name in names)
            for names in (self.head, in_order(self.counts))
        )
        return f"the model's head tells {known} apart, and the rows are of {there}"

    def totals(self) -> Totals:
        """Return what the rows add up to; a class is learned from all tokens."""
        return Totals(self.counts.total(), self._tokens, self._tokens, self._longest)


class _LabelledBatch:
    """Makes a batch: input_ids, attention_mask (rows, tokens) and labels (rows)."""

    def __init__(self, pad_token_id: int, classes: Sequence[str]) -> None:
        self._pad = pad_token_id
        self._numbers = {name: number for number, name in enumerate(classes)}

    def __call__(self, rows: Sequence[TokenRow]) -> Batch:
        ids = [row["input_ids"] for row in rows]
        return {
            "input_ids": padded(ids, self._pad),
            "attention_mask": attention_of(ids),
            "labels": torch.tensor([self._numbers[row["label"]] for row in rows]),
        }


class ClassifierTrainer(CountsTokens):
    """A Trainer whose cross entropy can weigh classes, and that tells how many it gets right.

    torch divides by the weights of the rows at hand: in passes of one row, whose gradients are
    added up, a weight would cancel out. Here it is divided by what rows weigh on average in all
    the data, so that a step is the same in however many passes.
    """

    loss_is_scaled_for_ga = False
    class_weights: torch.Tensor | None = None
    mean_weight = 1.0
    _right: torch.Tensor | None = None
    _seen = 0

    def compute_loss(
        self, model: torch.nn.Module, inputs: Batch, return_outputs: bool = False, **_: Any
    ) -> Any:  # noqa: ANN401
        """Return the weighted cross entropy of a batch, and the model's outputs if asked."""
        labels = inputs["labels"]
        given = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**given)
        weights = self.class_weights
        logits = outputs.logits.float()
        on_device = None if weights is None else weights.to(logits.device)
        smoothing = self.args.label_smoothing_factor
        summed = F.cross_entropy(
            logits, labels, weight=on_device, label_smoothing=smoothing, reduction="sum"
        )
        loss = summed / (len(labels) * self.mean_weight)
        if model.training:
            right = (logits.detach().argmax(-1) == labels).sum()
            self._right = right if self._right is None else self._right + right
            self._seen += len(labels)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Add the share of training rows that were put into their class since the last log."""
        if "loss" in logs and self._right is not None:
            logs["accuracy"] = float(self._right) / self._seen
            self._right, self._seen = None, 0
        super().log(logs, *args)


def scores(prediction: EvalPrediction) -> dict[str, float]:
    """Return accuracy and the mean over classes of precision, recall and F1 (macro).

    Only classes that stand in the rows or were predicted count; where nothing was put into a class
    its precision is 0, as in scikit-learn.
    """
    logits, labels = prediction.predictions, prediction.label_ids
    logits = logits[0] if isinstance(logits, tuple) else logits
    predicted = torch.as_tensor(logits).argmax(-1)
    return macro_scores(predicted, torch.as_tensor(labels))


def macro_scores(predicted: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return the figures of `scores` of class numbers, both of shape (rows,)."""
    per_class = []
    for number in sorted({*predicted.tolist(), *labels.tolist()}):
        hits = int(((predicted == number) & (labels == number)).sum())
        named, there = int((predicted == number).sum()), int((labels == number).sum())
        per_class.append(
            (
                hits / named if named else 0.0,
                hits / there if there else 0.0,
                2 * hits / (named + there),
            )
        )
    columns = zip(*per_class, strict=True)
    precision, recall, f1 = (sum(column) / len(per_class) for column in columns)
    accuracy = float((predicted == labels).float().mean())
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached.

    Raises:
        RunFailure: `objective.class_weights` names a class that the data do not have.
    """
    maker = job.data.maker
    assert isinstance(maker, LabelledRows)
    training = job.spec.training
    set_seed(training.seed)
    model = job.model
    model.config.pad_token_id = job.tokenizer.pad_token_id
    adapter = adapter_of(job, "SEQ_CLS")
    if adapter is not None:
        model = get_peft_model(model, adapter)
        if training.gradient_checkpointing:
            model.enable_input_require_grads()
    trainer: ClassifierTrainer = build(
        job,
        ClassifierTrainer,
        TrainingArguments,
        {"remove_unused_columns": False, "label_names": ["labels"]},
        model=model,
        data_collator=_LabelledBatch(job.tokenizer.pad_token_id, maker.classes),
        compute_metrics=scores,
    )
    weights = class_weights(job.spec.objective, maker)
    if weights is not None:
        counts = torch.tensor([float(maker.counts[name]) for name in maker.classes])
        trainer.class_weights = weights
        trainer.mean_weight = float((weights * counts).sum() / counts.sum())
    _note_nameless(job, maker)
    return trainer


def _note_nameless(job: Job, rows: LabelledRows) -> None:
    """Say for what the outputs are taken of a head that was trained on nobody knows what."""
    new, heads = new_modules(job.model), scoring_heads(job.model)
    trained = bool(heads) and not any(one.startswith(heads) for one in new)
    numbered = tuple(map(str, range(len(rows.classes))))
    if trained and not rows.head and rows.classes != numbered:
        named = ", ".join(text.one_line(name, 40) for name in rows.classes)
        job.note(f"the model's head has no names of classes; its outputs are taken for {named}")


def class_weights(objective: object, rows: LabelledRows) -> torch.Tensor | None:
    """Return the weight of each class, in the order of the outputs; None for all the same.

    `balanced` gives n / (k n_c) for a class with n_c of n rows and k classes, as in scikit-learn.

    Raises:
        RunFailure: a weight is given for a class that the data do not have.
    """
    assert isinstance(objective, ClassificationObjective)
    asked = objective.class_weights
    if asked is None:
        return None
    names = rows.classes
    if asked == "balanced":
        whole = rows.counts.total()
        there = len(rows.counts)
        # A class without rows, of a head that knows it, weighs nothing: no target is ever it.
        each = [rows.counts[name] for name in names]
        return torch.tensor([whole / (there * count) if count else 1.0 for count in each])
    unknown = [name for name in asked if name not in names]
    if unknown:
        known = ", ".join(text.one_line(name, 40) for name in names)
        raise RunFailure(
            f"objective.class_weights: no row is of class {text.one_line(unknown[0], 40)}",
            f"the classes are: {known}",
        )
    return torch.tensor([asked.get(name, 1.0) for name in names])


def _classes(data: TrainingData) -> tuple[str, ...]:
    assert isinstance(data.maker, LabelledRows)
    return data.maker.classes


OBJECTIVE = Objective(maker=LabelledRows, build=build_trainer, classes=_classes)
