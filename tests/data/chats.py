"""Short ways to write conversations, and to read what a mask says of them, in tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.data.families import FAMILIES
from tests.data.small_tokenizer import load_family
from tui_ft.data import Conversation, Encoded, MaskedRow, Message, mask_row
from tui_ft.data.chat.tokenizer import LocalChatTokenizer


class WithoutOffsets:
    """A tokenizer that cannot say where its tokens stand, as the slow ones cannot."""

    def __init__(self, tokenizer: LocalChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self.special_tokens = tokenizer.special_tokens
        self.eos_token = tokenizer.eos_token
        self.bos_token = tokenizer.bos_token
        self.stop_tokens = tokenizer.stop_tokens

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Any] | None = None,
    ) -> str:
        return self._tokenizer.render(
            messages, add_generation_prompt=add_generation_prompt, tools=tools
        )

    def encode(self, text: str) -> Encoded:
        return Encoded(self._tokenizer.encode(text).ids, None)


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str, **more: Any) -> Message:
    return {"role": "assistant", "content": content, **more}


def chat(*messages: Message, **more: Any) -> Conversation:
    return Conversation(messages, **more)


def masked(item: Any, tokenizer: Any, **options: Any) -> MaskedRow:
    """Mask a row that has to be maskable."""
    row = mask_row(item, tokenizer, **options)
    assert isinstance(row, MaskedRow), row
    return row


def refused(item: Any, tokenizer: Any, **options: Any) -> str:
    """Return why a row cannot be masked."""
    reason = mask_row(item, tokenizer, **options)
    assert isinstance(reason, str)
    return reason


def decode(tokenizer: LocalChatTokenizer, ids: Sequence[int]) -> str:
    return tokenizer._tokenizer.decode(list(ids), skip_special_tokens=False)


def tokens(row: MaskedRow, tokenizer: LocalChatTokenizer) -> list[tuple[str, bool]]:
    """Return each token's text and whether it is learned."""
    texts = [decode(tokenizer, [number]) for number in row.input_ids]
    return list(zip(texts, row.supervised, strict=True))


def learned_text(row: MaskedRow, tokenizer: LocalChatTokenizer) -> str:
    """Return the learned tokens, decoded together."""
    pairs = zip(row.input_ids, row.supervised, strict=True)
    return decode(tokenizer, [number for number, is_learned in pairs if is_learned])


def given(*texts: str) -> list[tuple[str, bool]]:
    return [(text, False) for text in texts]


def learned(*texts: str) -> list[tuple[str, bool]]:
    return [(text, True) for text in texts]


def spans(row: MaskedRow) -> list[str]:
    return [row.text[start:end] for start, end in row.spans]


def load_all(folder: Path, names: Iterable[str] = FAMILIES) -> dict[str, LocalChatTokenizer]:
    return {name: load_family(folder / name, FAMILIES[name]) for name in names}


Tokenizers = dict[str, LocalChatTokenizer]


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Tokenizers:
    """Return the tokenizer of every family, read from a folder."""
    return load_all(tmp_path_factory.mktemp("models"))
