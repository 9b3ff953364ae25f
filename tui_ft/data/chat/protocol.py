"""What a loss mask needs of a tokenizer.

A protocol, so that masks are the same with transformers (in training) and without it (in previews).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tui_ft.data.items import Message

Span = tuple[int, int]
"""Characters `[start, end)` of a text."""


class TemplateError(Exception):
    """The chat template refused a conversation; the message is the template's own."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, and for each token its span of characters; None where a tokenizer has no spans."""

    ids: list[int]
    offsets: list[Span] | None


class TokenSpans(Protocol):
    """Where the tokens of a text stand, each asked for."""

    def __len__(self) -> int:
        """Return how many tokens there are."""

    def span(self, token: int) -> Span:
        """Return the characters of a token."""

    def at(self, character: int) -> int | None:
        """Return the first token that holds a character; None for white space in no token."""


class ChatTokenizer(Protocol):
    """A tokenizer with a chat template, whichever library it comes from."""

    @property
    def special_tokens(self) -> frozenset[str]:
        """The special tokens, as text: an answer ends with one of them."""

    @property
    def eos_token(self) -> str | None:
        """The end-of-sequence token, as text."""

    @property
    def bos_token(self) -> str | None:
        """The token that the tokenizer itself puts before a text; None when it puts none."""

    @property
    def stop_tokens(self) -> frozenset[str]:
        """The tokens that end a generation: eos, and those `generation_config.json` names."""

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

    def encode(self, text: str) -> Encoded:
        """Return the tokens of ``text``: special tokens in it are recognised, none is added."""
