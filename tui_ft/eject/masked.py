"""A run's rows as its model reads them: text, and which characters of it are learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tui_ft.data import Completion, Conversation, Document, Item, LossOn, MaskedRow, mask_row
from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer
from tui_ft.data.items import AnyItem, Judged, Pair
from tui_ft.spec import RunSpec
from tui_ft.spec.chat_templates import template_file
from tui_ft.spec.objectives import SftObjective
from tui_ft.survey.request import TokenRequest

Row = dict[str, Any]


def masked_line(spec: RunSpec) -> Callable[[AnyItem], bytes | None]:
    """Return what makes a line of a row, as `tui_ft.train.objectives` makes tokens of it.

    Raises:
        DataError: there is no tokenizer of the model on this machine.
    """
    maker = _Masked(spec)
    of_kind: dict[str, Callable[[AnyItem], Row | None]] = {
        "pretraining": maker.text,
        "kto": maker.judged,
        "reward": maker.whole_pair,
        **dict.fromkeys(("dpo", "orpo", "cpo"), maker.pair),
    }
    make = of_kind.get(spec.objective.kind, maker.answer)

    def line(item: AnyItem) -> bytes | None:
        row = make(item)
        return None if row is None else orjson.dumps(row) + b"\n"

    return line


class _Masked:
    """Makes rows of items; None where a run would leave one out."""

    def __init__(self, spec: RunSpec) -> None:
        said = spec.model.chat_template
        folder = TokenRequest(spec.model.name_or_path, said).folder()
        template: Path | None = template_file(said) if said else None
        self._tokenizer: LocalChatTokenizer = load_chat_tokenizer(folder, template)
        self._most, self._cut_at = spec.training.max_length, spec.training.row_limit
        objective = spec.objective
        self._loss_on: LossOn = (
            objective.loss_on if isinstance(objective, SftObjective) else "assistant"
        )

    def answer(self, item: AnyItem) -> Row | None:
        """Return the row of supervised fine-tuning."""
        if not isinstance(item, Conversation | Completion | Document):
            return None
        return _said(self._mask(item, self._cut_at, self._loss_on))

    def text(self, item: AnyItem) -> Row | None:
        """Return the row of pretraining: a whole text; one token has nothing to foretell."""
        if not isinstance(item, Conversation | Completion | Document):
            return None
        row = self._mask(item, None, "all")
        return {"text": row.text} if row is not None and len(row.input_ids) > 1 else None

    def pair(self, item: AnyItem) -> Row | None:
        """Return both answers, cut."""
        return self._both(item, self._most)

    def whole_pair(self, item: AnyItem) -> Row | None:
        """Return both answers where both fit whole: half an answer cannot be scored."""
        return self._both(item, None)

    def judged(self, item: AnyItem) -> Row | None:
        """Return an answer and whether it is good; of a pair both."""
        match item:
            case Judged():
                answers = [item]
            case Pair(chosen, rejected):
                answers = [Judged(chosen, True), Judged(rejected, False)]
            case _:
                return None
        rows = [(self._mask(one.answer, self._most), one.good) for one in answers]
        if any(row is None for row, _ in rows):
            return None
        made = [{**said, "good": good} for row, good in rows if (said := _said(row)) is not None]
        return {"answers": made} if made else None

    def _both(self, item: AnyItem, most: int | None) -> Row | None:
        if not isinstance(item, Pair):
            return None
        better, worse = self._mask(item.chosen, most), self._mask(item.rejected, most)
        if better is None or worse is None:
            return None
        if better.input_ids == worse.input_ids and not better.cut_tokens:
            return None
        if most is None and max(better.full_length, worse.full_length) > self._most:
            return None
        chosen, rejected = _said(better), _said(worse)
        if chosen is None or rejected is None:
            return None
        return {"chosen": chosen, "rejected": rejected}

    def _mask(
        self, item: Item, most: int | None, loss_on: LossOn = "assistant"
    ) -> MaskedRow | None:
        row = mask_row(item, self._tokenizer, loss_on=loss_on, max_length=most)
        return None if isinstance(row, str) else row


def _said(row: MaskedRow | None) -> Row | None:
    """Return the text and what is learned of it; None where nothing is."""
    if row is None or not row.supervised_count:
        return None
    return {"text": row.text, "learned": row.spans}
