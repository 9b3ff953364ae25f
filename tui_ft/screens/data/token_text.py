"""What a row of a data set is as tokens of a model: what of it is learned, how it is packed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.data import ChatTokenizer, MaskedRow, RowProblem
from tui_ft.data.chat.loss_mask import mask_each
from tui_ft.data.items import AnyItem, Item
from tui_ft.survey.asking import Asked
from tui_ft.survey.browsing import Browsed, Browser
from tui_ft.survey.packing import PackedRow, PackedSequence, sequence_of
from tui_ft.widgets.signs import ascii_only, sign

_LONGEST: Final = 20_000
_MAX_LENGTH: Final = 1_024  # what trl cuts at, as long as no tokens are counted
_ROWS_SHOWN: Final = 40
_NARROWEST: Final = 20
_LEARNED: Final = "underline"


@dataclass(frozen=True, slots=True)
class Lens:
    """What a row is looked at through: a model's tokenizer, where it cuts, what else is known."""

    tokenizer: ChatTokenizer | None = None
    max_length: int = _MAX_LENGTH
    asked: Asked | None = None
    is_counted: bool = False


def tokens(item: AnyItem, tokenizer: ChatTokenizer, max_length: int, width: int) -> Content:
    """Return what ``item`` holds as the model sees it, in ``width`` cells; of a pair both sides."""
    return Content("\n\n").join(
        learned(mask, tokenizer, max_length, width)
        if isinstance(mask, MaskedRow)
        else _refused(mask)
        for mask in mask_each(item, tokenizer)
    )


def learned(mask: MaskedRow, tokenizer: ChatTokenizer, max_length: int, width: int) -> Content:
    """Return a row as the model sees it, with what it learns from marked, and how much that is."""
    cut = mask.full_length - max_length
    head = Content(
        f"learned: {mask.full_supervised:,} of {mask.full_length:,} tokens (underlined, {_bar()})"
        + (f"; max_length {max_length:,} cuts {cut:,}" if cut > 0 else "")
        + ("" if 0 < mask.first_end <= max_length else "; no end of turn is learned")
    )
    return Content("\n").join([head, Content(""), *_body(mask, tokenizer, max_length, width)])


def _body(mask: MaskedRow, tokenizer: ChatTokenizer, max_length: int, width: int) -> list[Content]:
    """Return a row's lines.

    Learned tokens are underlined, and lines with any begin with `▌`; special tokens are bold; what
    `max_length` cuts is struck out, behind a mark.
    """
    encoded = tokenizer.encode(mask.text[:_LONGEST])
    lines: list[list[tuple[str, str]]] = [[]]
    reached = 0
    for number, (_, end) in enumerate((encoded.offsets or [])[: len(mask.supervised)]):
        if number == max_length:
            lines[-1].append((f"{_bar()}max_length{_bar()}", "bold reverse"))
        piece, reached = mask.text[reached:end], max(reached, end)
        style = _style(piece, tokenizer, mask.supervised[number], number >= max_length)
        for at, part in enumerate(piece.split("\n")):
            if at:
                lines.append([])
            if part:
                lines[-1].append((text.plain(part), style))
    return [
        Content.assemble(f"{_bar()} " if _is_learned(shown) else "  ", shown)
        for pieces in lines
        for shown in Content.assemble(*pieces).wrap(max(_NARROWEST, width - 2))
    ]


def _is_learned(shown: Content) -> bool:
    return any(_LEARNED in str(span.style) for span in shown.spans)


def packed(found: Browsed, tokenizer: ChatTokenizer, lens: Lens, width: int) -> Content:
    """Return the sequence that a row falls into when rows are packed, with its borders marked.

    Args:
        width: cells to draw in.
    """
    if not isinstance(found.item, Item):
        return Content("only supervised fine-tuning packs rows; these are for other methods")
    asked = lens.asked
    summary = asked.summary() if asked is not None else None
    if asked is None or asked.token_folder is None or summary is None:
        return Content("tokens are not counted yet")
    try:
        sequence = sequence_of(asked.token_folder, found.position, lens.max_length)
    except OSError:
        sequence = None
    if sequence is None:
        if not lens.is_counted:
            return sign("waiting").content("this row's tokens are not counted yet")
        return Content("this row has no tokens to learn: it is in no sequence")
    positions = array("Q", (row.position for row in sequence.rows[:_ROWS_SHOWN]))
    browser = Browser(asked.folder, summary, positions)
    rows = [browser.at(at) for at in range(len(positions))]
    return Content("\n").join(
        [
            *packed_head(sequence, found.position, rows, width),
            *(
                line
                for row, packed_row in zip(rows, sequence.rows, strict=False)
                for line in _packed_row(row, packed_row, tokenizer, width)
            ),
            *([Content("…")] if len(sequence.rows) > _ROWS_SHOWN else []),
        ]
    )


def packed_head(
    sequence: PackedSequence, position: int, rows: Sequence[Browsed | None], width: int
) -> list[Content]:
    """Return how full a sequence is, where its rows begin, and which they are."""
    many = "row" if len(sequence.rows) == 1 else "rows"
    head = (
        f"a sequence of {len(sequence.rows):,} {many}, {sequence.tokens:,} of "
        f"{sequence.max_length:,} tokens: {text.percent(sequence.filled)} filled"
    )
    lines = [Content(head), Content(_bar_of(sequence, position, width))]
    for row, found in zip(sequence.rows, rows, strict=False):
        here = sign("selected").text() if row.position == position else " "
        cut = f", {row.cut:,} cut off" if row.cut else ""
        line = f"{here} row {_number(row, found):>9}  {row.tokens:>7,} tokens{cut}"
        lines.append(Content(line))
    if len(sequence.rows) > _ROWS_SHOWN:
        lines.append(Content(f"  and {len(sequence.rows) - _ROWS_SHOWN:,} more"))
    return lines


def _bar_of(sequence: PackedSequence, position: int, width: int) -> str:
    """Return a sequence drawn to scale, a border at each row; the one looked at is doubled."""
    border, here, other, free = "|=-." if ascii_only() else "┃═─·"
    room = max(_NARROWEST, width - len(sequence.rows) - 1)  # beside the borders
    drawn, reached = border, 0
    for row in sequence.rows:
        before, reached = reached, reached + row.tokens
        cells = reached * room // sequence.max_length - before * room // sequence.max_length
        drawn += (here if row.position == position else other) * cells + border
    return drawn + free * (room - reached * room // sequence.max_length)


def _packed_row(
    found: Browsed | None, row: PackedRow, tokenizer: ChatTokenizer, width: int
) -> list[Content]:
    """Return a row of a sequence: a border that names it, and what is left of it."""
    rule = "-" if ascii_only() else "━"
    title = f"{rule * 2} row {_number(row, found)} "
    border = Content.styled(title + rule * (width - len(title)), "bold")
    if found is None or isinstance(found.item, RowProblem):
        return [border]
    lines = [border]
    for mask in mask_each(found.item, tokenizer):
        if isinstance(mask, MaskedRow):
            lines += _body(mask, tokenizer, row.tokens, width)
        else:
            lines.append(_refused(mask))
    return lines


def _number(row: PackedRow, found: Browsed | None) -> str:
    """Return what a row is called in the list of rows: its line."""
    return f"{found.row.line:,}" if found is not None else f"at {row.position:,}"


def _refused(why: str) -> Content:
    return sign("bad").content(text.plain(why))


def _bar() -> str:
    return "|" if ascii_only() else "▌"


def _style(piece: str, tokenizer: ChatTokenizer, is_learned: bool, is_cut: bool) -> str:
    styles = [
        _LEARNED if is_learned else "",
        "bold" if piece.strip() in tokenizer.special_tokens else "",
        "strike dim" if is_cut else "",
    ]
    return " ".join(filter(None, styles))
