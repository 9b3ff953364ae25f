"""What a mask says of a row in figures, found without making the mask.

Lists of all tokens, their offsets and whether they are learned take as long as encoding the row.
For counting, only the borders of its turns are looked up, and templates are not rendered for rows
of a known shape (`turn_shapes`). Both rest on what is seen of other rows: that a template does the
same for each of a shape, that offsets never go back. So some rows have to be compared with their
masks, and one that differs tells that the others cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tui_ft.data.chat.loss_mask import MaskedRow, learned_messages, masked, text_with_ends
from tui_ft.data.chat.token_ranges import ranges_in_place
from tui_ft.data.chat.turn_shapes import shapes_of
from tui_ft.data.chat.turns import Turn
from tui_ft.data.items import Completion, Conversation, Document, Item
from tui_ft.vocabulary import LossOn

if TYPE_CHECKING:
    from tui_ft.data.chat.protocol import TokenSpans
    from tui_ft.data.chat.tokenizer import LocalChatTokenizer


class NotAsMaskedError(Exception):
    """What was counted of a row is not what its mask says."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Tokens of one row, nothing of it cut.

    Attributes:
        length: all of them.
        learned: those that carry loss.
        first_learned: how many stand before the first of these; None without any.
        first_end: tokens up to and with the first end of turn that carries loss; 0 for none.
        straddling: those that hold the end of a prompt and the beginning of its answer.
        double_bos: whether the row begins with two begin-of-text tokens.
        as_generated: whether every answer stands as the model is asked for it at inference.
    """

    length: int
    learned: int
    first_learned: int | None
    first_end: int
    straddling: int
    double_bos: bool
    as_generated: bool


def counts_of(mask: MaskedRow) -> RowCounts:
    """Return what a mask of a whole row says."""
    return RowCounts(
        length=mask.full_length,
        learned=mask.full_supervised,
        first_learned=mask.supervised.index(True) if mask.full_supervised else None,
        first_end=mask.first_end,
        straddling=mask.straddling,
        double_bos=mask.double_bos,
        as_generated=mask.as_generated,
    )


def count_rows(
    items: Sequence[Item], tokenizer: LocalChatTokenizer, *, loss_on: LossOn
) -> list[RowCounts | None]:
    """Return of each row what its mask would say; None where only the mask itself can tell.

    They are encoded together, a hundred or so at best. The first is compared with what the template
    makes of it, and with its mask.

    Args:
        items: what the rows have to teach.
        tokenizer: the model's own.
        loss_on: every answer, the last one, or every token.

    Raises:
        NotAsMaskedError: they are not the same.
    """
    told = [_told(item, tokenizer, loss_on) for item in items]
    spans = iter(tokenizer.spans([row.whole for row in told if row is not None]))
    counts = [None if row is None else _counted(row, next(spans), tokenizer) for row in told]
    for item, row, count in zip(items, told, counts, strict=True):
        if row is not None and count is not None:
            _compare(item, row, count, tokenizer)
            break
    return counts


class _Told(NamedTuple):
    """A rendered row whose turns are known."""

    whole: str
    turns: Sequence[Turn]
    loss_on: LossOn


def _told(item: Item, tokenizer: LocalChatTokenizer, loss_on: LossOn) -> _Told | None:
    if isinstance(item, Conversation):
        found = shapes_of(tokenizer).predicted(item, tokenizer, learned_messages(item, loss_on))
        return None if found is None or not found[1] else _Told(*found, loss_on)
    whole, turn = _text_and_turn(item, tokenizer)
    return _Told(whole, (turn,), "assistant" if isinstance(item, Document) else loss_on)


def _compare(item: Item, row: _Told, counts: RowCounts, tokenizer: LocalChatTokenizer) -> None:
    if isinstance(item, Conversation) and tokenizer.render(item.messages) != row.whole:
        raise NotAsMaskedError
    if counts != counts_of(masked(row.whole, row.turns, tokenizer, row.loss_on, None)):
        raise NotAsMaskedError


def _text_and_turn(item: Completion | Document, tokenizer: LocalChatTokenizer) -> tuple[str, Turn]:
    if isinstance(item, Document):
        return text_with_ends("", item.text, tokenizer)
    return text_with_ends(item.prompt, item.completion, tokenizer)


def _counted(row: _Told, tokens: TokenSpans, tokenizer: LocalChatTokenizer) -> RowCounts:
    whole, turns, loss_on = row
    spans = [(turn.start, turn.end) for turn in turns]
    ranges, straddling = ranges_in_place(whole, spans, tokens, tokenizer)
    learned, first_learned, reached = 0, None, 0
    for first, last in ranges:
        if last > max(first, reached):
            learned += last - max(first, reached)
            first_learned = first if first_learned is None else min(first_learned, first)
            reached = last
    if loss_on == "all":
        learned, first_learned = len(tokens), 0 if len(tokens) else None
    ends = [last for turn, (_, last) in zip(turns, ranges, strict=True) if turn.end_of_turn]
    bos = tokenizer.bos_token
    return RowCounts(
        length=len(tokens),
        learned=learned,
        first_learned=first_learned,
        first_end=ends[0] if ends else 0,
        straddling=straddling,
        double_bos=bool(bos) and whole.startswith(f"{bos}{bos}"),
        as_generated=all([turn.as_generated for turn in turns]),
    )
