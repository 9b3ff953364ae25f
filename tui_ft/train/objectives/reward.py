"""A reward model with trl's RewardTrainer: a head of one output that scores the better higher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trl import RewardConfig, RewardTrainer

from tui_ft.data import MaskedRow
from tui_ft.data.items import Pair
from tui_ft.train.objectives.common import (
    Job,
    Objective,
    SoundnessTrainer,
    TakesTokens,
    adapter_of,
    build,
    own_fields,
)
from tui_ft.train.objectives.pairs import SIDES, Batch, PairRows, attention_of, padded
from tui_ft.train.rows.protocol import TokenRow, Totals

TOO_LONG = "it is longer than training.max_length, and the score of half an answer says nothing"


class WholePairs(PairRows):
    """Pairs that fit into `max_length` whole."""

    def warnings(self) -> list[str]:
        """Return nothing: of a row that is scored whole no token carries loss by itself."""
        return []

    def refusal(self) -> str | None:
        """Return nothing: what stands against rows stands against each of them."""
        return None

    def totals(self) -> Totals:
        """Return what both sides add up to; a score is learned from all tokens."""
        counted = super().totals()
        return Totals(counted.rows, counted.tokens, counted.tokens, counted.longest)

    def _masked(self, item: Pair) -> tuple[MaskedRow, MaskedRow] | str:
        masked = self._both(item, None)
        if isinstance(masked, str):
            return masked
        longest = max(row.full_length for row in masked)
        return TOO_LONG if longest > self._max_length else masked


class _Scored:
    """Makes a batch of pairs as trl's RewardTrainer takes it: chosen ones, then rejected ones."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad = pad_token_id

    def __call__(self, rows: Sequence[TokenRow]) -> Batch:
        """Return input_ids and attention_mask, each (2 x pairs, tokens)."""
        ids = [row[f"{side}_input_ids"] for side in SIDES for row in rows]
        return {"input_ids": padded(ids, self._pad), "attention_mask": attention_of(ids)}


class RewardRunTrainer(TakesTokens, RewardTrainer):  # type: ignore[misc]  # trl is untyped here
    """trl's RewardTrainer, sound, on tokens."""


def build_trainer(job: Job) -> SoundnessTrainer:
    """Return the trainer of a run, its adapter attached."""
    own: dict[str, Any] = {
        **own_fields(job),
        "max_length": job.spec.training.max_length,
        "remove_unused_columns": False,
    }
    trainer: SoundnessTrainer = build(
        job,
        RewardRunTrainer,
        RewardConfig,
        own,
        peft_config=adapter_of(job, "SEQ_CLS"),
        data_collator=_Scored(job.tokenizer.pad_token_id),
    )
    return trainer


OBJECTIVE = Objective(maker=WholePairs, build=build_trainer, classes=lambda _: ("reward",))
