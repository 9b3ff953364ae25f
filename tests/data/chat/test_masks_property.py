"""For any conversation: what is learned is what the assistant says, and how it ends its turn."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.chats import (
    Tokenizers,
    WithoutOffsets,
    assistant,
    chat,
    learned_text,
    masked,
    spans,
    system,
    user,
)
from tests.data.families import FAMILIES
from tests.data.small_tokenizer import TEMPLATES
from tui_ft.data import Message

Shown = Callable[[str, bool], str]

_END = "<｜end▁of▁sentence｜>"


def _qwen3(content: str, last: bool) -> str:
    if not last:
        return f"{content}<|im_end|>"
    return "<think>\n\n</think>\n\n" + content.lstrip("\n") + "<|im_end|>"


# What each template makes of an answer, and whether it is the conversation's last.
EXPECTED: dict[str, Shown] = {
    "smollm2": lambda content, last: f"{content}<|im_end|>",
    "qwen2_5": lambda content, last: f"{content}<|im_end|>",
    "generation": lambda content, last: f"{content}<|im_end|>",
    "qwen3": _qwen3,
    "llama3": lambda content, last: f"{content.strip()}<|eot_id|>",
    "llama2": lambda content, last: f" {content.strip()} </s>",
    "gemma": lambda content, last: f"{content.strip()}<end_of_turn>",
    "gemma3": lambda content, last: f"{content.strip()}<end_of_turn>",
    "mistral_v1": lambda content, last: f"{content}</s>",
    "mistral_v3": lambda content, last: f" {content.strip()}</s>",
    "phi3": lambda content, last: f"{content}<|end|>",
    "phi4": lambda content, last: f"{content}<|im_end|>",
    "zephyr": lambda content, last: f"{content}</s>",
    "deepseek_r1": lambda content, last: f"{content}{_END}",
    "glm4": lambda content, last: f"\n{content}" if last else f"\n{content}<|user|>",
    "command_r7b": (
        lambda content, last: f"<|START_RESPONSE|>{content}<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    ),
    "vicuna": lambda content, last: f"{content}</s>",
    "alpaca_plain": lambda content, last: content,
}
_AFTER_MARK = re.compile(r"(<\|(?:end|user|system|assistant)\|>)\s+")
NO_SYSTEM = {"gemma", "mistral_v1"}

_PIECES = st.sampled_from(
    [
        *("Hello", "yes", "no", "assistant", "user", " ", "  ", "\n", "\n\n", "\t", ".", "### "),
        *(
            "é",
            "日本",
            "😀",
            "👩‍👩‍👧",
            "[/INST",
            "<|im",
            "a",
            "1",
            '"',
            "{",
            "model",
            "\u00a0",
            "ﬁ",
            # The marks of turns themselves, where they mark none.
            "<|im_end|>",
            "<|im_start|>assistant\n",
            "<|eot_id|>",
            "</s>",
            "[INST] ",
            "[/INST]",
            "<end_of_turn>\n",
            "<|end|>",
            "<|user|>",
            "<|endoftext|>",
        ),
    ]
)
_TEXTS = st.lists(_PIECES, min_size=1, max_size=6).map("".join)
_TURNS = st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1, max_size=3)


def _conversation(turns: list[tuple[str, str]], instruction: str | None) -> list[Message]:
    messages = [] if instruction is None else [system(instruction)]
    for question, answer in turns:
        messages += [user(question), assistant(answer)]
    return messages


@pytest.mark.parametrize("family", EXPECTED)
@given(turns=_TURNS, instruction=st.none() | _TEXTS)
@settings(max_examples=60)
def test_learned_is_what_the_assistant_says_and_its_end(
    family: str, tokenizers: Tokenizers, turns: list[tuple[str, str]], instruction: str | None
) -> None:
    tokenizer, shown = tokenizers[family], EXPECTED[family]
    told = None if family in NO_SYSTEM else instruction
    row = masked(chat(*_conversation(turns, told)), tokenizer)
    last = len(turns) - 1
    expected = [shown(answer, n == last) for n, (_, answer) in enumerate(turns)]
    assert spans(row) == expected
    assert masked(chat(*_conversation(turns, told)), WithoutOffsets(tokenizer)) == row
    learned = learned_text(row, tokenizer)
    if row.straddling or family == "alpaca_plain":  # tokens reach over the borders of plain text
        assert len(learned.encode()) >= len("".join(expected).encode())
    elif family == "phi3":  # its marks swallow the white space after them, the header's too
        assert learned == "".join(_AFTER_MARK.sub(r"\1", text.lstrip()) for text in expected)
    else:
        assert learned == "".join(expected)


def test_every_family_is_tried() -> None:
    assert set(EXPECTED) == set(FAMILIES)
    written = {file.stem for file in TEMPLATES.glob("*.jinja")}
    assert written == set(FAMILIES)
