"""What a row of a data set says, as content: as dialogue, as the model's tokens, as a record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from textual.content import Content

from tui_ft import text
from tui_ft.data import ChatTokenizer, Conversation, MaskedRow, Row, RowProblem
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt
from tui_ft.data.loss_mask import mask_each
from tui_ft.data.row_view import view_of
from tui_ft.survey.browsing import Browsed
from tui_ft.widgets.signs import ascii_only

View = Literal["conversation", "learned", "record"]
"""How a row is shown: as a dialogue, as the model's tokens, as it stands in the file."""

_LONGEST: Final = 20_000
_MAX_LENGTH: Final = 1_024  # what trl cuts at, as long as no tokens are counted


@dataclass(frozen=True, slots=True)
class Lens:
    """What a row is looked at through: a model's tokenizer, and where its rows are cut."""

    tokenizer: ChatTokenizer | None = None
    max_length: int = _MAX_LENGTH


def conversation(item: AnyItem) -> Content:
    """Return what a row says, turn by turn."""
    match item:
        case Pair(chosen, rejected):
            return Content("\n\n").join(
                [
                    _titled("chosen", conversation(chosen)),
                    _titled("rejected", conversation(rejected)),
                ]
            )
        case Judged(answer, good):
            return _titled("good" if good else "bad", conversation(answer))
        case Conversation(messages):
            return _turns(messages)
        case Prompt(messages) if not isinstance(messages, str):
            return _turns(messages)
        case Labelled(said, label):
            return _titled(f"label: {text.one_line(label, 60)}", _said(said))
        case _:
            view = view_of(item)
            parts = [_titled("prompt", _said(view.prompt))] if view.prompt else []
            return Content("\n\n").join([*parts, _titled("answer", _said(view.answer))])


def _turns(messages: Sequence[Any]) -> Content:
    return Content("\n\n").join(
        _titled(str(message["role"]), _said(_whole_turn(message))) for message in messages
    )


def _whole_turn(message: Any) -> str:  # noqa: ANN401 - any message
    more = {name: value for name, value in message.items() if name not in ("role", "content")}
    rest = json.dumps(more, ensure_ascii=False, default=str) if any(more.values()) else ""
    return "\n".join(part for part in (str(message.get("content") or ""), rest) if part)


def _titled(title: str, body: Content) -> Content:
    return Content.assemble(Content.styled(title, "bold"), "\n", body)


def _said(said: str) -> Content:
    return Content(text.plain(said[:_LONGEST], keep_newlines=True))


def raw(row: Row) -> Content:
    """Return the record as it stands in the file."""
    return _said(json.dumps(row.values, ensure_ascii=False, indent=2, default=str))


def row_content(found: Browsed, view: View, lens: Lens) -> Content:
    """Return a row in the view wanted; a row that teaches nothing as it stands in the file."""
    if view == "record" or isinstance(found.item, RowProblem):
        return raw(found.row)
    if view == "conversation":
        return conversation(found.item)
    tokenizer = lens.tokenizer
    if tokenizer is None:
        return Content("`m` names the model whose tokens are shown")
    return Content("\n\n").join(
        learned(mask, tokenizer, lens.max_length)
        if isinstance(mask, MaskedRow)
        else Content(text.plain(mask))
        for mask in mask_each(found.item, tokenizer)
    )


def learned(mask: MaskedRow, tokenizer: ChatTokenizer, max_length: int) -> Content:
    """Return a row as the model sees it, with what it learns from marked.

    Learned tokens are underlined, and lines with any begin with `▌`; special tokens are bold; what
    `max_length` cuts is struck out and named.
    """
    bar = "|" if ascii_only() else "▌"
    encoded = tokenizer.encode(mask.text[:_LONGEST])
    offsets = encoded.offsets or []
    lines: list[list[tuple[str, str]]] = [[]]
    marked: list[bool] = [False]
    reached = 0
    for number, (_, end) in enumerate(offsets[: len(mask.supervised)]):
        piece, reached = mask.text[reached:end], max(reached, end)
        is_learned = mask.supervised[number]
        style = _style(piece, tokenizer, is_learned, number >= max_length)
        for at, part in enumerate(piece.split("\n")):
            if at:
                lines.append([])
                marked.append(False)
            if part:
                lines[-1].append((text.plain(part), style))
            marked[-1] |= is_learned and bool(part)
    head = Content(
        f"learned: {mask.full_supervised:,} of {mask.full_length:,} tokens (underlined, {bar})"
        + (
            f"; max_length {max_length:,} cuts {mask.full_length - max_length:,}"
            if mask.full_length > max_length
            else ""
        )
        + ("" if mask.ends_turn else "; no end of turn is learned")
    )
    body = [
        Content.assemble(f"{bar} " if flag else "  ", *pieces)
        for pieces, flag in zip(lines, marked, strict=True)
    ]
    return Content("\n").join([head, Content(""), *body])


def _style(piece: str, tokenizer: ChatTokenizer, is_learned: bool, is_cut: bool) -> str:
    styles = [
        "underline" if is_learned else "",
        "bold" if piece.strip() in tokenizer.special_tokens else "",
        "strike dim" if is_cut else "",
    ]
    return " ".join(filter(None, styles))
