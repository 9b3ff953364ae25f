"""What a row has to teach, once its format is known.

Made for every row of the largest files, so these are structs, which are made in a third of the time
of frozen dataclasses. They hold no cycles: the garbage collector need not know of them (`gc`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Message = Mapping[str, Any]
"""One turn: `role`, `content`, and whatever else a template may use (tool_calls, reasoning)."""

ASSISTANT = "assistant"

REASONING = ("reasoning_content", "thinking", "reasoning")
"""The fields in which a message keeps its reasoning; templates read the first."""


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """Turns for the chat template, and the tools offered.

    Attributes:
        messages: every turn, in order.
        tools: JSON schemas of the tools.
        prompt_messages: how many messages at the start are only context: what the assistant says in
            them is not learned (the prompt of a prompt/completion row, as in TRL).
        reference: what is right, where a column of its own holds it.
    """

    messages: tuple[Message, ...]
    tools: tuple[Any, ...] | None = None
    prompt_messages: int = 0
    reference: str | None = None

    @property
    def answers(self) -> tuple[int, ...]:
        """The positions of the assistant's messages."""
        return tuple([n for n, message in enumerate(self.messages) if message["role"] == ASSISTANT])

    @property
    def learned_answers(self) -> tuple[int, ...]:
        """The positions of those that are learned.

        Not those of the prompt, and not those with `weight: 0` (OpenAI's fine-tuning format).
        """
        return tuple(
            [
                n
                for n, message in enumerate(self.messages)
                if message["role"] == ASSISTANT
                and n >= self.prompt_messages
                and message.get("weight") != 0
            ]
        )


class Completion(msgspec.Struct, frozen=True, gc=False):
    """A plain prompt and what follows it; no template. `reference` as of a `Conversation`."""

    prompt: str
    completion: str
    reference: str | None = None


class Document(msgspec.Struct, frozen=True, gc=False):
    """Plain text, learned whole; no template."""

    text: str


Item = Conversation | Completion | Document
"""What supervised fine-tuning learns from."""


class Pair(msgspec.Struct, frozen=True, gc=False):
    """A better and a worse answer to the same prompt (DPO, ORPO, CPO, reward models).

    Both sides are conversations with `prompt_messages` set, or both are plain completions.
    """

    chosen: Conversation | Completion
    rejected: Conversation | Completion


class Judged(msgspec.Struct, frozen=True, gc=False):
    """An answer with a thumb up or down (KTO)."""

    answer: Conversation | Completion
    good: bool


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """A question without an answer, for methods that generate their own (PPO, GRPO, RLOO).

    `messages` is a dialogue that ends before the assistant's turn, or a plain text; `reference` is
    what is right, where a column of its own holds it.
    """

    messages: tuple[Message, ...] | str
    tools: tuple[Any, ...] | None = None
    reference: str | None = None


class Labelled(msgspec.Struct, frozen=True, gc=False):
    """A text and its class, as the data name it."""

    text: str
    label: str


AnyItem = Item | Pair | Judged | Prompt | Labelled


def taught(item: AnyItem) -> tuple[Item, ...]:
    """Return the texts in ``item`` that a loss mask can be made of; the better answer first."""
    match item:
        case Pair(chosen, rejected):
            return chosen, rejected
        case Judged(answer):
            return (answer,)
        case Labelled(text):
            return (Document(text),)
        case Prompt():
            return ()
        case _:
            return (item,)
