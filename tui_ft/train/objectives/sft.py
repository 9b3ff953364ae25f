"""Supervised fine-tuning with trl's SFTTrainer, on tokens and labels that are made already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from datasets import Sequence as ListOf
from datasets import Value
from trl import SFTConfig, SFTTrainer

from tui_ft.data import Completion, Conversation, Document, MaskedRow, MaskSummary, mask_row
from tui_ft.data import refusal as refusal_of
from tui_ft.data.items import AnyItem
from tui_ft.spec import RunSpec
from tui_ft.spec.objectives import SftObjective
from tui_ft.spec.trainer_arguments import row_arguments
from tui_ft.train.objectives.common import Job, Objective, SoundnessTrainer, adapter_of, build
from tui_ft.train.rows.boundaries import refuse_reading_across
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.protocol import IGNORED, NO_ITEM, TokenRow, Totals

_FEATURES: Final = {"input_ids": ListOf(Value("int32")), "labels": ListOf(Value("int32"))}


class AnswerRows:
    """Rows with a label for each token: the token itself where it carries loss."""

    def __init__(self, spec: RunSpec, tokenizer: TransformersChatTokenizer) -> None:
        self._spec, self._tokenizer = spec, tokenizer
        objective = spec.objective
        self._loss_on = objective.loss_on if isinstance(objective, SftObjective) else "all"
        self._max_length = spec.training.max_length
        self._cut_at = spec.training.row_limit
        self._summary = MaskSummary()

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns of a row."""
        return _FEATURES

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the row that ``item`` becomes; see `RowMaker`."""
        if not isinstance(item, Conversation | Completion | Document):
            return NO_ITEM
        row = mask_row(item, self._tokenizer, loss_on=self._loss_on, max_length=self._cut_at)
        if isinstance(row, str):
            return row
        self._summary.add(line, row)
        return [with_labels(row)] if row.supervised_count else []

    def beside(self) -> AnswerRows:
        """Return a maker for another file of the run."""
        return AnswerRows(self._spec, self._tokenizer)

    def refusal(self) -> str | None:
        """Return why the rows would teach nothing, or teach never to stop; else None."""
        return refusal_of(self._summary)

    def warnings(self) -> list[str]:
        """Return what is cut, left out, or otherwise than at inference."""
        return self._summary.warnings(self._cut_at or self._summary.longest)

    def totals(self) -> Totals:
        """Return what the rows add up to."""
        return totals_of(self._summary, self._max_length)


def with_labels(row: MaskedRow) -> TokenRow:
    """Return the row's tokens, and for each its label."""
    pairs = zip(row.input_ids, row.supervised, strict=True)
    return {
        "input_ids": row.input_ids,
        "labels": [token if learned else IGNORED for token, learned in pairs],
    }


def totals_of(summary: MaskSummary, max_length: int) -> Totals:
    """Return what masked rows add up to once they are cut to ``max_length``."""
    return Totals(
        rows=summary.rows,
        tokens=summary.tokens - summary.tokens_cut,
        supervised=summary.supervised - summary.supervised_cut,
        longest=min(summary.longest, max_length),
    )


class SftRunTrainer(SoundnessTrainer, SFTTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's SFTTrainer, sound."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached."""
    own = row_arguments(job.spec.training)
    trainer: SoundnessTrainer = build(
        job, SftRunTrainer, SFTConfig, own, peft_config=adapter_of(job)
    )
    refuse_reading_across(job, trainer)
    return trainer


OBJECTIVE = Objective(maker=AnswerRows, build=build_trainer)
