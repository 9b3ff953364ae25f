"""The trainer's own tokenizer, seen through what a loss mask needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from tui_ft import text
from tui_ft.data import Encoded, Message, TemplateError
from tui_ft.data.chat.tool_calls import render_calls


class TransformersChatTokenizer:
    """A transformers tokenizer as a `tui_ft.data.ChatTokenizer`.

    Args:
        tokenizer: the tokenizer, fast or slow.
        stop_ids: ids that end a generation beside eos, from the model's
            `generation_config.eos_token_id`.
    """

    def __init__(
        self,
        tokenizer: Any,  # noqa: ANN401 - transformers is untyped here
        stop_ids: Iterable[int] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = tuple(stop_ids)

    @cached_property
    def special_tokens(self) -> frozenset[str]:
        """Every token that the tokenizer holds to be special, as text."""
        added = self._tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        return frozenset({*special, *map(str, self._tokenizer.all_special_tokens)} - {""})

    @property
    def eos_token(self) -> str | None:
        """The end-of-sequence token, as text."""
        return _text_or_none(self._tokenizer.eos_token)

    @cached_property
    def bos_token(self) -> str | None:
        """The token that the tokenizer itself puts before a text; None when it puts none."""
        bos = _text_or_none(self._tokenizer.bos_token)
        if bos is None:
            return None
        ids = self._tokenizer("a")["input_ids"]
        return bos if ids and ids[0] == self._tokenizer.bos_token_id else None

    @cached_property
    def stop_tokens(self) -> frozenset[str]:
        """The tokens that end a generation."""
        named = self._tokenizer.convert_ids_to_tokens(list(self._stop_ids))
        return frozenset(token for token in (*named, self.eos_token) if token)

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

        def render(written: Sequence[Message]) -> str:
            rendered = self._tokenizer.apply_chat_template(
                [dict(message) for message in written],
                tools=list(tools) if tools else None,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
            )
            return str(rendered)

        try:
            return render_calls(render, messages)
        except Exception as error:  # a template is a program of somebody else: anything may come
            raise TemplateError(text.one_line(str(error), 300) or type(error).__name__) from None

    def encode(self, text: str) -> Encoded:
        """Return the tokens of ``text``, with no special token added."""
        fast = bool(self._tokenizer.is_fast)
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast)
        offsets = [(int(a), int(b)) for a, b in encoded["offset_mapping"]] if fast else None
        return Encoded(list(encoded["input_ids"]), offsets)

    @property
    def longest(self) -> int:
        """The most tokens that the model reads, as its tokenizer knows; else beyond all texts."""
        return int(self._tokenizer.model_max_length)

    def encode_alone(self, text: str, max_length: int) -> list[int]:
        """Return the tokens of ``text`` as the model is given it by itself, cut to ``max_length``.

        With the special tokens that the tokenizer puts around a text (`[CLS]`, `[SEP]`, begin of
        text); the cut leaves them in.
        """
        encoded = self._tokenizer(text, truncation=True, max_length=max_length)
        return list(encoded["input_ids"])

    def length_alone(self, text: str) -> int:
        """Return how many tokens ``text`` has with them, uncut."""
        return len(self._tokenizer(text, verbose=False)["input_ids"])


def _text_or_none(token: object) -> str | None:
    return str(token) if token else None
