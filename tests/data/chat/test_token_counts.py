"""What is counted of a row is what its mask says."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.data.chat.test_masks_property import _TEXTS, _TURNS, NO_SYSTEM, _conversation
from tests.data.chats import Tokenizers, chat, masked
from tests.data.families import FAMILIES
from tui_ft.data.chat.token_counts import NotAsMaskedError, count_rows, counts_of
from tui_ft.data.items import Completion, Document, Item
from tui_ft.vocabulary import LossOn

_LOSS_ON = st.sampled_from(("assistant", "last_assistant", "all"))
_ANY_TEXT = st.text(st.sampled_from("ab \n\t.é中😀<|>"), min_size=1, max_size=12)


def _count(item: Item, tokenizers: Tokenizers, family: str, loss_on: LossOn) -> None:
    tokenizer = tokenizers[family]
    plain = chat(*_conversation([("Who?", "Me.")], None))  # the first is compared anyhow
    _, counts = count_rows([plain, item], tokenizer, loss_on=loss_on)
    if counts is not None:
        assert counts == counts_of(masked(item, tokenizer, loss_on=loss_on))


@pytest.mark.parametrize("family", FAMILIES)
@given(turns=_TURNS, instruction=_TEXTS, with_system=..., loss_on=_LOSS_ON)
@settings(max_examples=40)
def test_conversations_of_every_template(
    family: str,
    tokenizers: Tokenizers,
    turns: list[tuple[str, str]],
    instruction: str,
    with_system: bool,
    loss_on: LossOn,
) -> None:
    told = instruction if with_system and family not in NO_SYSTEM else None
    _count(chat(*_conversation(turns, told)), tokenizers, family, loss_on)


@pytest.mark.parametrize("family", FAMILIES)
@given(prompt=_ANY_TEXT, answer=_ANY_TEXT, loss_on=_LOSS_ON)
@example(prompt="a ", answer=" \n\n ", loss_on="assistant")
@settings(max_examples=40)
def test_texts_without_a_template(
    family: str, tokenizers: Tokenizers, prompt: str, answer: str, loss_on: LossOn
) -> None:
    _count(Completion(prompt, answer), tokenizers, family, loss_on)
    _count(Document(answer), tokenizers, family, loss_on)


def test_plain_conversations_need_no_mask(tokenizers: Tokenizers) -> None:
    item = chat(*_conversation([("Who?", "Me."), ("Where?", "Here, of course.")], None))
    counts = count_rows([item], tokenizers["qwen3"], loss_on="assistant")
    assert counts == [counts_of(masked(item, tokenizers["qwen3"]))]


def test_a_template_that_looks_into_the_words_is_noticed(
    tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers["qwen3"]
    item = chat(*_conversation([("Who?", "Me.")], None))
    assert count_rows([item], tokenizer, loss_on="assistant") != [None]
    render = tokenizer.render
    monkeypatch.setattr(tokenizer, "render", lambda *a, **b: render(*a, **b).replace("Me", "You"))
    with pytest.raises(NotAsMaskedError):
        count_rows([item], tokenizer, loss_on="assistant")
