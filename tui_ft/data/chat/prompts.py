"""What a row asks, for objectives in which the model answers, and the answer the row has itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tui_ft.data.chat.loss_mask import prompt_text
from tui_ft.data.chat.protocol import ChatTokenizer
from tui_ft.data.items import (
    ASSISTANT,
    AnyItem,
    Completion,
    Conversation,
    Judged,
    Message,
    Pair,
    Prompt,
)


class Asked(msgspec.Struct, frozen=True):
    """A question, and its answer where the row has one.

    Attributes:
        prompt: a dialogue that ends before the assistant's turn, or a plain text.
        reference: what is right: what a column of its own says, else the row's own answer.
        answer: the row's own answer: of a dialogue the last one, of a pair the better one.
    """

    prompt: tuple[Message, ...] | str
    tools: tuple[Any, ...] | None = None
    reference: str | None = None
    answer: str | None = None

    @property
    def shown(self) -> str:
        """What was asked last, as people read it."""
        return self.prompt if isinstance(self.prompt, str) else said_in(self.prompt[-1])


def asked_in(item: AnyItem) -> Asked | None:
    """Return what ``item`` asks; None if it asks nothing (a whole text, one with a class)."""
    match item:
        case Prompt(messages, tools, truth):
            return Asked(messages, tools, truth)
        case Pair(chosen):
            return asked_in(chosen)
        case Judged(answer, good):
            asked = asked_in(answer)
            own = asked if good else None
            return own or (asked and msgspec.structs.replace(asked, reference=None, answer=None))
        case Completion(prompt, completion, truth):
            asked = Asked(prompt, reference=truth or completion, answer=completion)
            return asked if prompt.strip() else None
        case Conversation(messages, tools, _, truth):
            last = item.answers[-1] if item.answers else 0
            said = (said_in(messages[last]) if last else "") or None
            return Asked(messages[:last], tools, truth or said, said) if last else None
        case _:
            return None


def asked_text(asked: Asked, tokenizer: ChatTokenizer) -> str:
    """Return what the model is given to answer, through its chat template.

    Raises:
        TemplateError: the template refuses the dialogue.
    """
    if isinstance(asked.prompt, str):
        return prompt_text(Completion(asked.prompt, ""), tokenizer) or asked.prompt
    # Some templates write the header of an answer only where there is one.
    answer: Message = {"role": ASSISTANT, "content": asked.answer or "answer"}
    return prompt_text(Conversation((*asked.prompt, answer), asked.tools), tokenizer) or ""


def said_in(message: Mapping[str, Any]) -> str:
    """Return the text of a message."""
    return str(message.get("content") or "").strip()
