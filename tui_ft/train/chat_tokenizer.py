"""The trainer's own tokenizer, seen through what a loss mask needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2

from tui_ft.data import Encoded, Message, TemplateError


class TransformersChatTokenizer:
    """A transformers tokenizer as a `tui_ft.data.ChatTokenizer`."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - transformers is untyped here
        self._tokenizer = tokenizer

    @property
    def special_tokens(self) -> frozenset[str]:
        """Every token that the tokenizer holds to be special, as text."""
        added = self._tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        return frozenset({*special, *self._tokenizer.all_special_tokens} - {""})

    @property
    def eos_token(self) -> str | None:
        """The token that ends a generation."""
        return _text_or_none(self._tokenizer.eos_token)

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text, for tokenizers that put one there themselves."""
        bos = _text_or_none(self._tokenizer.bos_token)
        if bos is None:
            return None
        ids = self._tokenizer("a")["input_ids"]
        return bos if ids and ids[0] == self._tokenizer.bos_token_id else None

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Any] | None = None,
    ) -> str:
        """Return the conversation through the chat template.

        Raises:
            TemplateError: there is no template, or it refuses these messages.
        """
        if not self._tokenizer.chat_template:
            raise TemplateError(
                "the tokenizer has none; use a model tuned for chat, or give one with "
                "model.chat_template"
            )
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=list(tools) if tools else None,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            raise TemplateError(f"{error}".strip() or type(error).__name__) from None
        return str(text)

    def encode(self, text: str) -> Encoded:
        """Return the tokens of ``text``, with no special token added."""
        fast = bool(self._tokenizer.is_fast)
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast)
        offsets = [(int(a), int(b)) for a, b in encoded["offset_mapping"]] if fast else None
        return Encoded(list(encoded["input_ids"]), offsets)


def _text_or_none(token: object) -> str | None:
    return str(token) if token else None
