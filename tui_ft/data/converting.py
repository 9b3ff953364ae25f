"""Rows turned into what they have to teach. Preview and training convert with this same code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tui_ft.data.files.rows import Row, type_name
from tui_ft.data.formats import Detection, verdict
from tui_ft.data.items import (
    ASSISTANT,
    AnyItem,
    Completion,
    Conversation,
    Document,
    Judged,
    Labelled,
    Message,
    Prompt,
)
from tui_ft.data.messages import (
    UnusableRowError,
    is_hh_dialogue,
    parsed,
    read_hh_dialogue,
    read_messages,
)
from tui_ft.data.parts import (
    TURNS,
    Parts,
    completion,
    conversation,
    messages_or_text,
    said,
    turns_or_text,
    without_answer,
)
from tui_ft.data.preferences import convert_preference
from tui_ft.data.problems import ProblemKind, RowProblem
from tui_ft.vocabulary import FormatName


def convert(row: Row, detection: Detection) -> AnyItem | RowProblem:
    """Return what ``row`` has to teach, or why it cannot be used."""
    try:
        return _CONVERTERS[detection.format](Parts(row.values, detection.columns))
    except UnusableRowError as fault:
        return RowProblem(row.line, str(fault), fault.kind)


def _convert_messages(parts: Parts) -> Conversation:
    return conversation(parts, _listed_messages(parts))


def _listed_messages(parts: Parts) -> list[Message]:
    turns = parsed(parts.value("messages"))
    if not isinstance(turns, list) or not turns:
        raise UnusableRowError(f"{parts.name('messages')} is no list of messages")
    return read_messages(turns)


def _convert_alpaca(parts: Parts) -> Conversation:
    messages = [said("user", parts.question()), said(ASSISTANT, parts.text("output"))]
    if messages[1]["content"].strip() and "system" not in parts and "tools" not in parts:
        # As below, sooner: most rows of the largest files.
        return Conversation(tuple(messages), reference=parts.reference())
    return conversation(parts, messages)


def _convert_prompt_completion(parts: Parts) -> Conversation | Completion:
    prompt = messages_or_text(parts.value("prompt"))
    answer = messages_or_text(parts.value("completion"))
    listed = isinstance(prompt, TURNS) or isinstance(answer, TURNS)
    if not listed and not parts.system():
        return completion(parts.text("prompt"), parts.text("completion"), parts.reference())
    before = parts.messages("prompt", prompt, "user")
    after = parts.messages("completion", answer, ASSISTANT, first=len(before) + 1)
    return conversation(parts, [*before, *after], prompt_messages=len(before))


def _convert_text(parts: Parts) -> Conversation | Document:
    document = _filled(parts, "text")
    if is_hh_dialogue(document):
        return conversation(parts, read_hh_dialogue(document))
    return Document(document)


def _filled(parts: Parts, part: str) -> str:
    """Return the text that plays ``part``, which must say something."""
    value = parts.text(part)
    if not value.strip():
        kind: ProblemKind = "empty-answer" if part == "text" else "empty-prompt"
        raise UnusableRowError(f"{parts.name(part)} is empty", kind)
    return value


def _convert_kto(parts: Parts) -> Judged:
    good = verdict(parts.value("label"))
    if good is None:
        raise UnusableRowError(f"{parts.name('label')} is neither true nor false")
    return Judged(_judged_answer(parts), good)


def _judged_answer(parts: Parts) -> Conversation | Completion:
    if "messages" not in parts:
        alpaca = "instruction" in parts
        return _convert_alpaca(parts) if alpaca else _convert_prompt_completion(parts)
    messages = _listed_messages(parts)
    # The verdict is on the last answer; those before it are only context.
    while messages and messages[-1]["role"] != ASSISTANT:
        messages.pop()
    return conversation(parts, messages, prompt_messages=max(0, len(messages) - 1))


def _convert_prompt_only(parts: Parts) -> Prompt:
    tools = parts.tools()
    if "messages" in parts:
        messages = _listed_messages(parts)
    elif "instruction" in parts:
        _filled(parts, "instruction")
        messages = [said("user", parts.question())]
    else:
        asked = without_answer(turns_or_text(parts.value("prompt")))
        if not isinstance(asked, TURNS) and not parts.system():
            return Prompt(_filled(parts, "prompt"), tools, parts.reference())
        messages = parts.messages("prompt", asked, "user")
    return Prompt(_asked(parts, messages), tools, parts.reference())


def _asked(parts: Parts, messages: list[Message]) -> tuple[Message, ...]:
    """Return a dialogue that the assistant is to go on with."""
    if not any([message["content"].strip() for message in messages]):
        part = "messages" if "messages" in parts else "prompt"
        raise UnusableRowError(f"{parts.name(part)} is empty", "empty-prompt")
    if messages[-1]["role"] == ASSISTANT:
        raise UnusableRowError("the last message is the assistant's: there is nothing to answer")
    system = parts.system()
    if system and messages[0]["role"] != "system":
        return (said("system", system), *messages)
    return tuple(messages)


def _convert_text_label(parts: Parts) -> Labelled:
    label = parts.value("label")
    if label is None or label == "":
        raise UnusableRowError(f"{parts.name('label')} is missing")
    if not isinstance(label, str | int):
        raise UnusableRowError(f"{parts.name('label')} holds {type_name(label)}, not a class")
    return Labelled(_filled(parts, "text"), str(label))


_CONVERTERS: Final[Mapping[FormatName, Callable[[Parts], AnyItem]]] = {
    "messages": _convert_messages,
    "alpaca": _convert_alpaca,
    "prompt_completion": _convert_prompt_completion,
    "text": _convert_text,
    "preference": convert_preference,
    "kto": _convert_kto,
    "prompt_only": _convert_prompt_only,
    "text_label": _convert_text_label,
}
