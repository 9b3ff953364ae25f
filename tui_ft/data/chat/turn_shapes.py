"""Turns found by shape: once for a succession of roles, then for every row that has it.

Finding turns (`turns`) renders a conversation several times over. Nearly all rows of a data set are
one of a few shapes, though: plain contents in the same succession of roles, put between the same
pieces of template. So a probe of that shape is rendered, its turns are found the careful way, and
the pieces between its contents are kept. A row whose rendering is just these pieces around its own
contents has its turns where the probe has them. Every other row goes the careful way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from tui_ft.data.chat.protocol import ChatTokenizer, TemplateError
from tui_ft.data.chat.turns import Turn, TurnNotFoundError, find_turns
from tui_ft.data.items import Conversation

_PLAIN: Final = frozenset(("role", "content"))
_MOST_SHAPES: Final = 256
_THOUGHTS: Final = ("<think>", "</think>")

Place = tuple[int, int]
"""A piece of template, by its number, and a position in it."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a template writes for a succession of roles.

    Attributes:
        pieces: what stands before, between and after the contents.
        order: which message's content stands after each piece but the last.
        turns: the probe's turns.
        borders: where they start and end.
    """

    pieces: tuple[str, ...]
    order: tuple[int, ...]
    turns: tuple[Turn, ...]
    borders: tuple[tuple[Place, Place], ...]

    def rendered(self, contents: Sequence[str]) -> str:
        """Return what the template makes of a conversation with these contents."""
        parts: list[str] = []
        for piece, message in zip(self.pieces, self.order, strict=False):
            parts += (piece, contents[message])
        return "".join((*parts, self.pieces[-1]))

    def turns_in(self, contents: Sequence[str]) -> tuple[Turn, ...]:
        """Return where the turns stand in what `rendered` returns."""
        begins, at = [0], 0
        for piece, message in zip(self.pieces, self.order, strict=False):
            at += len(piece) + len(contents[message])
            begins.append(at)
        return tuple(
            Turn(
                turn.message,
                begins[start[0]] + start[1],
                begins[end[0]] + end[1],
                turn.end_of_turn,
                turn.as_generated,
            )
            for turn, (start, end) in zip(self.turns, self.borders, strict=True)
        )


class TurnShapes:
    """The shapes that a tokenizer's template has been asked for."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        tokens = sorted({*tokenizer.special_tokens, *tokenizer.stop_tokens, *_THOUGHTS} - {""})
        self._first = tuple({token[0] for token in tokens})
        self._foreign = re.compile("|".join(map(re.escape, tokens)))
        self._shapes: dict[tuple[tuple[str, ...], tuple[int, ...]], _Shape | None] = {}

    def turns(
        self,
        whole: str,
        item: Conversation,
        tokenizer: ChatTokenizer,
        wanted: Sequence[int],
    ) -> tuple[Turn, ...] | None:
        """Return the turns of ``item`` in ``whole``, its rendering; None if its shape tells not."""
        found = self._shape_of(item, tokenizer, wanted)
        if found is None:
            return None
        shape, contents = found
        return shape.turns_in(contents) if shape.rendered(contents) == whole else None

    def predicted(
        self, item: Conversation, tokenizer: ChatTokenizer, wanted: Sequence[int]
    ) -> tuple[str, tuple[Turn, ...]] | None:
        """Return what the template should make of ``item``, and its turns, without rendering it.

        For counting: a template that looks into the contents may do otherwise. None if the shape
        tells not.
        """
        found = self._shape_of(item, tokenizer, wanted)
        if found is None:
            return None
        shape, contents = found
        return shape.rendered(contents), shape.turns_in(contents)

    def _shape_of(
        self, item: Conversation, tokenizer: ChatTokenizer, wanted: Sequence[int]
    ) -> tuple[_Shape, list[str]] | None:
        contents = self._plain_contents(item)
        if contents is None:
            return None
        key = (tuple([message["role"] for message in item.messages]), tuple(wanted))
        if key not in self._shapes:
            if len(self._shapes) >= _MOST_SHAPES:
                return None
            self._shapes[key] = _probe(key[0], key[1], tokenizer)
        shape = self._shapes[key]
        return None if shape is None else (shape, contents)

    def _plain_contents(self, item: Conversation) -> list[str] | None:
        """Return the contents, if no template has a reason to treat one otherwise than another."""
        if item.tools:
            return None
        contents: list[str] = []
        for message in item.messages:
            content = message["content"]
            if (
                message.keys() != _PLAIN
                or not isinstance(content, str)
                or not content
                or content[0].isspace()
                or content[-1].isspace()
                or (
                    any(first in content for first in self._first) and self._foreign.search(content)
                )
            ):
                return None
            contents.append(content)
        return contents


_SHAPES: WeakKeyDictionary[ChatTokenizer, TurnShapes] = WeakKeyDictionary()


def shapes_of(tokenizer: ChatTokenizer) -> TurnShapes:
    """Return the shapes kept for a tokenizer, for as long as it lives."""
    shapes = _SHAPES.get(tokenizer)
    if shapes is None:
        shapes = _SHAPES[tokenizer] = TurnShapes(tokenizer)
    return shapes


def _probe(roles: Sequence[str], wanted: Sequence[int], tokenizer: ChatTokenizer) -> _Shape | None:
    """Return the shape of a conversation with these roles; None if it has none."""
    contents = [f"Qz{number}xw probe{number}" for number in range(len(roles))]
    pairs = zip(roles, contents, strict=True)
    item = Conversation(tuple({"role": role, "content": said} for role, said in pairs))
    try:
        whole = tokenizer.render(item.messages)
        turns = find_turns(whole, item, tokenizer, wanted)
    except (TemplateError, TurnNotFoundError):
        return None
    if any(whole.count(content) != 1 for content in contents):
        return None
    order = sorted(range(len(contents)), key=lambda number: whole.index(contents[number]))
    pieces, begins, at = [], [], 0
    for number in order:
        found = whole.index(contents[number])
        pieces.append(whole[at:found])
        begins.append(at)
        at = found + len(contents[number])
    pieces.append(whole[at:])
    begins.append(at)
    borders = [(_place(t.start, begins, pieces), _place(t.end, begins, pieces)) for t in turns]
    kept = tuple((start, end) for start, end in borders if start and end)
    if len(kept) < len(turns):
        return None
    return _Shape(tuple(pieces), tuple(order), turns, kept)


def _place(at: int, begins: Sequence[int], pieces: Sequence[str]) -> Place | None:
    """Return the piece in which a border falls; None if it falls into a content."""
    for number, (begin, piece) in enumerate(zip(begins, pieces, strict=True)):
        if begin <= at <= begin + len(piece):
            return number, at - begin
    return None
