"""Continued pretraining: whole texts, every token learned, long ones in pieces. By SFTTrainer."""

from __future__ import annotations

from collections.abc import Sequence

from tui_ft.data import Completion, Conversation, Document, mask_row
from tui_ft.data.items import AnyItem
from tui_ft.train.objectives.common import Objective
from tui_ft.train.objectives.sft import AnswerRows, build_trainer
from tui_ft.train.rows.protocol import NO_ITEM, TokenRow, Totals


class PiecesOfText(AnswerRows):
    """Rows of at most `max_length` tokens, all of which carry loss; nothing is cut off."""

    def make(self, line: int, item: AnyItem) -> Sequence[TokenRow] | str:
        """Return the pieces of the text; see `RowMaker`."""
        if not isinstance(item, Conversation | Completion | Document):
            return NO_ITEM
        row = mask_row(item, self._tokenizer, loss_on="all")
        if isinstance(row, str):
            return row
        self._summary.add(line, row)
        ids = row.input_ids
        starts = range(0, len(ids), self._max_length)
        pieces = [ids[start : start + self._max_length] for start in starts]
        # A single token has none before it to be foretold from.
        return [{"input_ids": piece, "labels": piece} for piece in pieces if len(piece) > 1]

    def beside(self) -> PiecesOfText:
        """Return a maker for another file of the run."""
        return PiecesOfText(self._spec, self._tokenizer)

    def warnings(self) -> list[str]:
        """Return what of the rows is otherwise than it should be."""
        return self._summary.warnings(self._summary.longest)

    def totals(self) -> Totals:
        """Return what the rows add up to."""
        summary = self._summary
        longest = min(summary.longest, self._max_length)
        return Totals(summary.rows, summary.tokens, summary.supervised, longest)


OBJECTIVE = Objective(maker=PiecesOfText, build=build_trainer)
