"""What a row of a data set says, as content: as dialogue, as the model's tokens, as a record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from textual.content import Content

from tui_ft import text
from tui_ft.data import Conversation, Row, RowProblem
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt
from tui_ft.data.row_view import view_of
from tui_ft.screens.data.token_text import Lens, packed, tokens
from tui_ft.survey.browsing import Browsed

View = Literal["conversation", "learned", "packed", "record"]
"""How a row is shown: as a dialogue, as the model's tokens, in its sequence, as in the file."""

_LONGEST: Final = 20_000


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


def row_content(found: Browsed, view: View, lens: Lens, width: int) -> Content:
    """Return a row in the view wanted; a row that teaches nothing as it stands in the file."""
    if view == "record" or isinstance(found.item, RowProblem):
        return raw(found.row)
    if view == "conversation":
        return conversation(found.item)
    tokenizer = lens.tokenizer
    if tokenizer is None:
        return Content("`m` names the model whose tokens are shown")
    if view == "packed":
        return packed(found, tokenizer, lens, width)
    return tokens(found.item, tokenizer, lens.max_length, width)
