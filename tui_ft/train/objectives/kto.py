"""KTO (arXiv:2402.01306) with trl's KTOTrainer: answers with a thumb up or down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from datasets import Sequence as ListOf
from datasets import Value
from trl import KTOConfig, KTOTrainer

from tui_ft.data import MaskSummary, mask_row
from tui_ft.data import refusal as refusal_of
from tui_ft.data.items import AnyItem, Judged, Pair
from tui_ft.spec import RunSpec
from tui_ft.spec.objectives import KtoObjective
from tui_ft.train.objectives.common import (
    AsksBeforehand,
    Job,
    Objective,
    SoundnessTrainer,
    adapter_of,
    build,
    own_fields,
)
from tui_ft.train.objectives.pairs import Batch, attention_of, padded
from tui_ft.train.objectives.sft import totals_of
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.protocol import NO_ITEM, TokenRow, Totals

_FEATURES: Final = {
    "input_ids": ListOf(Value("int32")),
    "supervised": ListOf(Value("bool")),
    "label": Value("bool"),
}
_LOPSIDED: Final = 2.0
"""Good and bad answers whose weights differ by more are told of; equation 8 asks for 1 to 4/3."""


class JudgedRows:
    """Rows of an answer with its prompt, what carries loss, and whether it is good."""

    def __init__(self, spec: RunSpec, tokenizer: TransformersChatTokenizer) -> None:
        self._spec, self._tokenizer = spec, tokenizer
        self._max_length = spec.training.max_length
        self._summary = MaskSummary()
        self._good = self._bad = 0

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns of a row."""
        return _FEATURES

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the row that an answer becomes; a pair becomes two. See `RowMaker`."""
        match item:
            case Judged():
                judged = [item]
            case Pair(chosen, rejected):
                judged = [Judged(chosen, True), Judged(rejected, False)]
            case _:
                return NO_ITEM
        made = []
        for answer in judged:
            row = mask_row(answer.answer, self._tokenizer, max_length=self._max_length)
            if isinstance(row, str):
                return row
            self._summary.add(line, row)
            if row.supervised_count:
                made.append(
                    {
                        "input_ids": row.input_ids,
                        "supervised": row.supervised,
                        "label": answer.good,
                    }
                )
        self._good += sum(row["label"] is True for row in made)
        self._bad += sum(row["label"] is False for row in made)
        return made

    def beside(self) -> JudgedRows:
        """Return a maker for another file of the run."""
        return JudgedRows(self._spec, self._tokenizer)

    def refusal(self) -> str | None:
        """Return why the rows would teach nothing; else None."""
        return refusal_of(self._summary)

    def warnings(self) -> list[str]:
        """Return what is cut or left out, and whether one verdict outweighs the other."""
        return [*self._lopsided(), *self._summary.warnings(self._max_length)]

    def totals(self) -> Totals:
        """Return what the rows add up to."""
        return totals_of(self._summary, self._max_length)

    def _lopsided(self) -> list[str]:
        """Compare the weights of good and bad answers (equation 8 of the paper)."""
        objective = self._spec.objective
        assert isinstance(objective, KtoObjective)
        good, bad = self._good, self._bad
        if not good or not bad:
            only = "good" if good else "bad"
            return [f"every answer is judged {only}: KTO learns from the difference between both"]
        ratio = good * objective.desirable_weight / (bad * objective.undesirable_weight)
        if 1 / _LOPSIDED <= ratio <= _LOPSIDED:
            return []
        name, weight = (
            ("desirable_weight", objective.desirable_weight / ratio)
            if ratio < 1
            else ("undesirable_weight", objective.undesirable_weight * ratio)
        )
        said = f"{good:,} answers are judged good and {bad:,} bad; to let both count as much, set "
        return [f"{said}objective.{name} to about {weight:.2g}"]


class JudgedBatch:
    """Makes a batch as trl's KTOTrainer takes it.

    The KL term is estimated from answers to other prompts: each row's prompt is set before the
    answer of the row before it (the last row's for the first). trl pairs them once for all and so
    has to keep the order of the file, in which good answers often come first and bad ones last;
    pairing them here, each batch is mixed anew.

    Args:
        pad_token_id: fills up shorter rows.
        max_length: rows are cut to this many tokens.
        with_kl: make those rows.
    """

    def __init__(self, pad_token_id: int, max_length: int, *, with_kl: bool) -> None:
        self._pad, self._max_length, self._with_kl = pad_token_id, max_length, with_kl

    def __call__(self, rows: Sequence[TokenRow]) -> Batch:
        """Return input_ids, attention_mask, completion_mask (rows, tokens), and label (rows)."""
        ids = [row["input_ids"] for row in rows]
        masks = [row["supervised"] for row in rows]
        batch = self._sequences("", ids, masks)
        batch["label"] = torch.tensor([row["label"] for row in rows], dtype=torch.bool)
        if self._with_kl:
            batch |= self._sequences("KL_", *self._mismatched(ids, masks))
        for name in ("ref_logps", "ref_KL_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch

    def _sequences(
        self, prefix: str, ids: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]]
    ) -> Batch:
        return {
            f"{prefix}input_ids": padded(ids, self._pad),
            f"{prefix}attention_mask": attention_of(ids),
            f"{prefix}completion_mask": padded(masks, 0),
        }

    def _mismatched(
        self, ids: Sequence[list[int]], masks: Sequence[list[bool]]
    ) -> tuple[list[list[int]], list[list[bool]]]:
        begins = [mask.index(True) for mask in masks]
        mixed_ids, mixed_masks = [], []
        for number, start in enumerate(begins):
            other = number - 1  # of the first row the last
            whole = [*ids[number][:start], *ids[other][begins[other] :]]
            mask = [*masks[number][:start], *masks[other][begins[other] :]]
            mixed_ids.append(whole[: self._max_length])
            mixed_masks.append(mask[: self._max_length])
        return mixed_ids, mixed_masks


class KtoRunTrainer(AsksBeforehand, KTOTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's KTOTrainer, sound, on tokens."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached; of the reference see `dpo`."""
    asked = job.spec.objective
    assert isinstance(asked, KtoObjective)
    adapter = adapter_of(job)
    max_length = job.spec.training.max_length
    own = {
        **own_fields(job),
        "max_length": max_length,
        "remove_unused_columns": False,
        "train_sampling_strategy": "sequential",
    }
    beforehand = asked.precompute_ref_log_probs
    if beforehand:
        shuffled = job.data.train.shuffle(seed=job.spec.training.seed)
        job = dataclasses.replace(job, data=dataclasses.replace(job.data, train=shuffled))
    trainer: Any = build(
        job,
        KtoRunTrainer,
        KTOConfig,
        own,
        ref_model=job.load_again() if adapter is None and not beforehand else None,
        peft_config=adapter,
        data_collator=JudgedBatch(
            job.tokenizer.pad_token_id, max_length, with_kl=asked.loss_type == "kto"
        ),
    )
    # trl insists on one order, for its own pairing alone. But what the reference was asked
    # beforehand of answers to other prompts holds only for the batches that it was asked in.
    if not beforehand:
        trainer.args.train_sampling_strategy = "random"
    sound: SoundnessTrainer = trainer
    return sound


OBJECTIVE = Objective(maker=JudgedRows, build=build_trainer)
