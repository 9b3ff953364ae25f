"""Turns told by shape are those found the careful way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.data.chat.test_masks_property import _TEXTS, _TURNS, NO_SYSTEM, _conversation
from tests.data.chats import Tokenizers, chat
from tests.data.families import FAMILIES
from tui_ft.data.chat.turn_shapes import TurnShapes, shapes_of
from tui_ft.data.chat.turns import TurnNotFoundError, find_turns


@pytest.mark.parametrize("family", FAMILIES)
@given(turns=_TURNS, instruction=_TEXTS, with_system=...)
@settings(max_examples=60)
def test_a_shape_tells_the_turns_that_are_found_the_careful_way(
    family: str,
    tokenizers: Tokenizers,
    turns: list[tuple[str, str]],
    instruction: str,
    with_system: bool,
) -> None:
    tokenizer = tokenizers[family]
    told = instruction if with_system and family not in NO_SYSTEM else None
    item = chat(*_conversation(turns, told))
    whole = tokenizer.render(item.messages)
    quick = shapes_of(tokenizer).turns(whole, item, tokenizer, item.answers)
    if quick is None:
        return
    try:
        assert quick == find_turns(whole, item, tokenizer, item.answers)
    except TurnNotFoundError:
        pytest.fail("a shape told turns that cannot be found")


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_conversations_are_told_by_shape(family: str, tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers[family]
    item = chat(*_conversation([("Who?", "Me."), ("Where?", "Here, of course.")], None))
    shapes = TurnShapes(tokenizer)
    whole = tokenizer.render(item.messages)
    quick = shapes.turns(whole, item, tokenizer, item.answers)
    assert quick is not None
    assert shapes.predicted(item, tokenizer, item.answers) == (whole, quick)


def test_contents_that_a_template_may_treat_otherwise_are_left_to_the_careful_way(
    tokenizers: Tokenizers,
) -> None:
    tokenizer = tokenizers["qwen3"]
    for answer in (" spaced", "<think>\nhm\n</think>\n\nyes", "a<|im_end|>b"):
        item = chat(*_conversation([("Who?", answer)], None))
        whole = tokenizer.render(item.messages)
        assert TurnShapes(tokenizer).turns(whole, item, tokenizer, item.answers) is None
