"""Pairs of a better and a worse answer as tokens, for all objectives that learn from pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from datasets import Sequence as ListOf
from datasets import Value
from torch.nn.utils.rnn import pad_sequence

from tui_ft.data import MaskedRow, MaskSummary, mask_row
from tui_ft.data import refusal as refusal_of
from tui_ft.data.items import AnyItem, Pair
from tui_ft.spec import RunSpec
from tui_ft.train.objectives.sft import totals_of
from tui_ft.train.rows.chat_tokenizer import TransformersChatTokenizer
from tui_ft.train.rows.protocol import NO_ITEM, TokenRow, Totals

SIDES: Final = ("chosen", "rejected")
ALIKE: Final = "the chosen and the rejected answer are the same"

Batch = dict[str, torch.Tensor]

_FEATURES: Final = {
    f"{side}_{name}": ListOf(Value(kind))
    for side in SIDES
    for name, kind in (("input_ids", "int32"), ("supervised", "bool"))
}


class PairRows:
    """Rows of both answers, each with its prompt, and for each token whether it carries loss."""

    def __init__(self, spec: RunSpec, tokenizer: TransformersChatTokenizer) -> None:
        self._spec, self._tokenizer = spec, tokenizer
        self._max_length = spec.training.max_length
        self._summaries = (MaskSummary(), MaskSummary())

    @property
    def features(self) -> Mapping[str, Any]:
        """The columns of a row."""
        return _FEATURES

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the row that a pair becomes; none where a side has nothing left to learn from."""
        if not isinstance(item, Pair):
            return NO_ITEM
        masked = self._masked(item)
        if isinstance(masked, str):
            return masked
        if masked[0].input_ids == masked[1].input_ids and not masked[0].cut_tokens:
            return ALIKE
        for summary, row in zip(self._summaries, masked, strict=True):
            summary.add(line, row)
        if not all(row.supervised_count for row in masked):
            return []
        return [
            {
                f"{side}_{name}": values
                for side, row in zip(SIDES, masked, strict=True)
                for name, values in (("input_ids", row.input_ids), ("supervised", row.supervised))
            }
        ]

    def beside(self) -> PairRows:
        """Return a maker for another file of the run."""
        return type(self)(self._spec, self._tokenizer)

    def refusal(self) -> str | None:
        """Return why the pairs would teach nothing; else None."""
        for side, summary in zip(SIDES, self._summaries, strict=True):
            reason = refusal_of(summary)
            if reason is not None:
                return f"of the {side} answers, {reason}"
        return None

    def warnings(self) -> list[str]:
        """Return what is cut, left out, or otherwise than at inference, on either side."""
        return [
            f"{side}: {said}"
            for side, summary in zip(SIDES, self._summaries, strict=True)
            for said in summary.warnings(self._max_length)
        ]

    def totals(self) -> Totals:
        """Return what both sides add up to."""
        better, worse = (totals_of(summary, self._max_length) for summary in self._summaries)
        return Totals(
            rows=better.rows,
            tokens=better.tokens + worse.tokens,
            supervised=better.supervised + worse.supervised,
            longest=max(better.longest, worse.longest),
        )

    def _masked(self, item: Pair) -> tuple[MaskedRow, MaskedRow] | str:
        return self._both(item, self._max_length)

    def _both(self, item: Pair, max_length: int | None) -> tuple[MaskedRow, MaskedRow] | str:
        better = mask_row(item.chosen, self._tokenizer, max_length=max_length)
        worse = mask_row(item.rejected, self._tokenizer, max_length=max_length)
        if isinstance(better, str):
            return better
        return worse if isinstance(worse, str) else (better, worse)


def padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Return rows of numbers as one tensor (rows, longest), filled up on the right."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)


def attention_of(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return 1 where `padded` has a token and 0 where it has filled up."""
    return padded([[1] * len(row) for row in rows], 0)


class StackedPairs:
    """Makes a batch of pairs as trl's DPOTrainer takes it: all chosen answers, then all rejected.

    Args:
        pad_token_id: fills up shorter rows.
        without_reference: hand over log-probabilities of zero as the reference's.
    """

    def __init__(self, pad_token_id: int, *, without_reference: bool = False) -> None:
        self._pad, self._without_reference = pad_token_id, without_reference

    def __call__(self, rows: Sequence[TokenRow]) -> Batch:
        """Return input_ids, attention_mask and completion_mask, each (2 x pairs, tokens)."""
        ids = [row[f"{side}_input_ids"] for side in SIDES for row in rows]
        masks = [row[f"{side}_supervised"] for side in SIDES for row in rows]
        batch = {
            "input_ids": padded(ids, self._pad),
            "attention_mask": attention_of(ids),
            "completion_mask": padded(masks, 0),
        }
        for side in SIDES:
            name = f"ref_{side}_logps"
            if self._without_reference:
                batch[name] = torch.zeros(len(rows))
            elif name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch
