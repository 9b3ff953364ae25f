"""A row as checks look at it: its question, its answer, who speaks, and all that it says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tui_ft.data.items import (
    ASSISTANT,
    AnyItem,
    Completion,
    Conversation,
    Document,
    Judged,
    Labelled,
    Message,
    Pair,
    Prompt,
)


class RowView(msgspec.Struct, frozen=True, gc=False):
    """What a row says, whatever its format. Holds no cycles, so none are looked for (`gc`).

    Attributes:
        item: what the row was converted to.
        prompt: the last question: the user's last message before the last answer, or the plain
            prompt; empty for plain text.
        answer: the last answer, the better one of a pair; the text of a plain or labelled text;
            empty for prompts only.
        rejected: the worse answer of a pair.
        label: the class of a labelled text; `good` or `bad` for a judged answer.
        roles: who speaks, in order; of a pair those of the chosen side. Empty without messages.
        context: all that stands before the last answer, joined by newlines: what makes two
            prompts the same.
        whole: everything, joined by newlines.
    """

    item: AnyItem
    prompt: str
    answer: str
    rejected: str | None
    label: str | None
    roles: tuple[str, ...]
    context: str
    whole: str


def view_of(item: AnyItem) -> RowView:  # noqa: PLR0911 - one for each kind of item
    """Return ``item`` as checks look at it."""
    match item:
        case Conversation(messages):
            return _of_messages(item, messages)
        case Completion(prompt, answer):
            return _of_texts(item, prompt, answer)
        case Document(text):
            return _of_texts(item, "", text)
        case Labelled(text, label):
            return _of_texts(item, "", text, label=label)
        case Prompt(messages):
            if isinstance(messages, str):
                return _of_texts(item, messages, "")
            said = [_said(message) for message in messages]
            context = "\n".join(said)
            roles = tuple(message["role"] for message in messages)
            return RowView(item, said[-1] if said else "", "", None, None, roles, context, context)
        case Pair(chosen, rejected):
            better, worse = view_of(chosen), view_of(rejected)
            return _with(better, item, rejected=worse.answer)
        case Judged(answer, good):
            return _with(view_of(answer), item, label="good" if good else "bad")


def _of_messages(item: Conversation, messages: Sequence[Message]) -> RowView:
    said: list[str] = []
    roles: list[str] = []
    last = asked = user = -1
    for number, message in enumerate(messages):
        content = message.get("content")
        said.append(content if isinstance(content, str) else "")
        role = message["role"]
        roles.append(role)
        if role == ASSISTANT:
            last, asked = number, user
        elif role == "user":
            user = number
    return RowView(
        item,
        prompt=said[asked] if asked >= 0 else "",
        answer=said[last] if last >= 0 else "",
        rejected=None,
        label=None,
        roles=tuple(roles),
        context="\n".join(said[:last] if last >= 0 else said),
        whole="\n".join(said),
    )


def _said(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _of_texts(item: AnyItem, prompt: str, answer: str, label: str | None = None) -> RowView:
    whole = f"{prompt}\n{answer}" if prompt and answer else prompt or answer
    return RowView(item, prompt, answer, None, label, (), prompt, whole)


def _with(
    view: RowView, item: AnyItem, *, rejected: str | None = None, label: str | None = None
) -> RowView:
    whole = view.whole if rejected is None else f"{view.whole}\n{rejected}"
    return RowView(item, view.prompt, view.answer, rejected, label, view.roles, view.context, whole)
