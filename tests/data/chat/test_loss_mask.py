"""Rows without a template, rows that are cut, tokens on borders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.data.chats import (
    Tokenizers,
    WithoutOffsets,
    assistant,
    chat,
    given,
    learned,
    learned_text,
    masked,
    refused,
    spans,
    tokens,
    user,
)
from tests.data.families import FAMILIES
from tests.data.small_tokenizer import read_template, write_model_folder
from tui_ft.data import Completion, Document, mask_row, prompt_text
from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer

CHAT = chat(user("Hi"), assistant("Hello there"), user("More"), assistant("Sure"))


def test_text_is_learned_whole_and_ended(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["llama3"]
    row = masked(Document("Hello there"), tokenizer)
    assert tokens(row, tokenizer) == (
        given("<|begin_of_text|>") + learned("Hello", " there", "<|eot_id|>")
    )
    assert row.ends_turn
    assert not row.double_bos


def test_text_that_has_its_own_beginning_and_end(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["llama3"]
    row = masked(Document("<|begin_of_text|>Hello<|eot_id|>"), tokenizer)
    assert row.text == "<|begin_of_text|>Hello<|eot_id|>"
    assert tokens(row, tokenizer)[1:] == learned("Hello", "<|eot_id|>")


def test_a_tokenizer_that_puts_no_beginning_gets_none(tokenizers: Tokenizers) -> None:
    assert masked(Document("Hello"), tokenizers["smollm2"]).text == "Hello<|im_end|>"


def test_of_a_completion_what_follows_the_prompt_is_learned(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["llama2"]
    row = masked(Completion("Hi", " there"), tokenizer)
    assert tokens(row, tokenizer) == given("<s>", "Hi") + learned(" there", "</s>")
    everything = masked(Completion("Hi", " there"), tokenizer, loss_on="all")
    assert everything.supervised == [True] * 4


def test_a_completion_that_ends_itself_is_not_ended_twice(tokenizers: Tokenizers) -> None:
    assert masked(Completion("Hi", " there</s>"), tokenizers["llama2"]).text == "<s>Hi there</s>"


def test_a_token_over_the_border_is_learned_and_counted(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["llama2"]
    row = masked(Completion("Hi: ", "yes"), tokenizer)
    assert tokens(row, tokenizer) == given("<s>", "Hi", ":") + learned(" yes", "</s>")
    assert row.straddling == 1
    assert masked(Completion("Hi:", " yes"), tokenizer).straddling == 0


def test_a_special_token_that_swallows_space_is_no_answer(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["phi3"]
    row = masked(chat(user("Hi"), assistant("  yes")), tokenizer)
    assert tokens(row, tokenizer)[-4:] == (
        given("<|assistant|>") + learned("yes", "<|end|>") + given("<|endoftext|>")
    )
    assert row.straddling == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_without_offsets_the_mask_is_the_same(family: str, tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers[family]
    row = masked(CHAT, tokenizer)
    plain = masked(CHAT, WithoutOffsets(tokenizer))
    assert plain == row


def test_without_offsets_a_token_over_the_border(tokenizers: Tokenizers) -> None:
    item = Completion("Hi: ", "yes")
    tokenizer = tokenizers["llama2"]
    assert masked(item, WithoutOffsets(tokenizer)) == masked(item, tokenizer)


def test_a_tokenizer_of_words_with_their_space(tmp_path: Path) -> None:
    """Llama 2's real tokens begin with the space before a word, even before the first."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3}
    for symbol in (*"[]/INSTHiyesno", "▁yes", "▁y", "ye", "▁ye"):
        vocabulary.setdefault(symbol, len(vocabulary))
    merges = [("▁", "y"), ("▁y", "e"), ("▁ye", "s")]
    words = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    words.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    words.add_special_tokens(["<s>", "</s>"])
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = LocalChatTokenizer(words, named, {"default": read_template("llama2")})
    row = masked(chat(user("Hi"), assistant("yes")), tokenizer)
    shown = [words.id_to_token(number) for number in row.input_ids]
    pairs = list(zip(shown, row.supervised, strict=True))
    assert pairs[-4:] == given("]") + learned("▁yes", "▁", "</s>")


def test_a_long_row_is_cut_and_what_is_lost_is_known(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["phi4"]
    whole = masked(CHAT, tokenizer)
    assert (whole.full_length, whole.full_supervised) == (len(whole.input_ids), 5)
    cut = masked(CHAT, tokenizer, max_length=10)
    assert tokens(cut, tokenizer) == tokens(whole, tokenizer)[:10]
    assert (cut.full_length, cut.full_supervised) == (whole.full_length, 5)
    assert cut.cut_tokens == whole.full_length - 10
    assert cut.supervised_count == 2
    assert not cut.ends_turn
    assert cut.unended == 2
    assert cut.spans == whole.spans


@pytest.mark.parametrize(
    ("max_length", "ends", "unended", "count"),
    [(9, False, 2, 1), (11, True, 1, 3), (99, True, 0, 5)],
)
def test_ends_are_counted_in_what_is_left(
    max_length: int, ends: bool, unended: int, count: int, tokenizers: Tokenizers
) -> None:
    row = masked(CHAT, tokenizers["phi4"], max_length=max_length)
    assert (row.ends_turn, row.unended, row.supervised_count) == (ends, unended, count)


def test_two_beginnings_are_noticed(tokenizers: Tokenizers) -> None:
    twice = masked(Document("<s><s>Hello"), tokenizers["llama2"])
    assert twice.double_bos
    assert not masked(CHAT, tokenizers["llama2"]).double_bos


def test_a_model_without_template(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, FAMILIES["llama2"])
    (folder / "chat_template.jinja").unlink()
    tokenizer = load_chat_tokenizer(folder)
    assert "model.chat_template" in refused(CHAT, tokenizer)
    assert masked(Completion("Hi", " yes"), tokenizer).ends_turn


def test_without_an_end_token_nothing_ends(tmp_path: Path) -> None:
    words = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    row = masked(Completion("a", "b"), LocalChatTokenizer(words, {}, {}))
    assert row.supervised == [False, True]
    assert not row.ends_turn


@pytest.mark.parametrize(
    ("item", "family", "expected"),
    [
        (CHAT, "mistral_v1", "<s>[INST] Hi [/INST]Hello there</s> [INST] More [/INST]"),
        (CHAT, "vicuna", "USER: Hi ASSISTANT: Hello there</s>USER: More ASSISTANT: "),
        (chat(assistant("Hello")), "smollm2", None),
        (chat(user("Hi")), "smollm2", None),
        (Completion("Hi", " yes"), "llama2", "<s>Hi"),
        (Completion("Hi", " yes"), "smollm2", "Hi"),
        (Document("Hi"), "smollm2", None),
    ],
)
def test_what_the_model_is_given_to_answer(
    item: Any, family: str, expected: str | None, tokenizers: Tokenizers
) -> None:
    assert prompt_text(item, tokenizers[family]) == expected


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"deepseek_r1", "qwen3", "mistral_v3"}))
def test_prompt_and_learned_text_make_the_row(family: str, tokenizers: Tokenizers) -> None:
    """What is asked at inference, and what was learned to follow it, are the training text."""
    tokenizer = tokenizers[family]
    row = masked(CHAT, tokenizer, loss_on="last_assistant")
    prompt = prompt_text(CHAT, tokenizer)
    assert prompt is not None
    assert row.text.startswith(prompt + spans(row)[0])


def test_masks_do_not_depend_on_ids(tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers["smollm2"]
    same = mask_row(CHAT, tokenizer)
    assert same == mask_row(CHAT, tokenizer)
    assert learned_text(masked(CHAT, tokenizer), tokenizer) == "Hello there<|im_end|>Sure<|im_end|>"
