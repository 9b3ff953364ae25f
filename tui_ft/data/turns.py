"""Where the assistant's turns stand in a rendered conversation, for any chat template.

What a model is given and what it has to generate is decided at inference, so that is what is
looked at first: the prompt of a turn is the rendering of the messages before it with the
generation prompt, and what it has to generate is what the conversation, broken off after that turn,
holds beyond the prompt, up to and with the end-of-turn token. If both stand in the whole rendering
just so, the turn is found, whatever it consists of: content, leading space, reasoning, tool calls.

Templates that show a turn in another form once it is past (Qwen3 and DeepSeek drop its reasoning,
Mistral moves the system message) take a second way: the same conversation is rendered with another
answer in that turn's place. What stands before and after it then, the template writes by itself,
and what the plain rendering holds between the two is the turn.

A third way serves templates that look into the answer: marks are put around it, and the rendering
must be the plain one but for them. A turn found in none of these ways is not found: no guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tui_ft.data.chat_protocol import ChatTokenizer, TemplateError
from tui_ft.data.formats import Conversation, Message

# Private use: no template's logic asks for these, `trim` leaves them, and data hardly has them.
_MARKS: Final = range(0xE0F0, 0xE1F0)


class TurnNotFound(Exception):
    """The template rewrites or drops an assistant turn, so what it has to learn is unknown."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model has to generate for one assistant message.

    Attributes:
        message: the message's position in the conversation, from 0.
        start: first character, in the rendered conversation.
        end: the character after its last: the end-of-turn token is inside, what follows it not.
        end_of_turn: the token, or tokens, that end the turn; empty when the template writes none.
        as_generated: whether the training text is what the model meets at inference: the same
            prompt before, the same words to generate. Where not, the template shows past turns in
            another form than it asks for them.
    """

    message: int
    start: int
    end: int
    end_of_turn: str
    as_generated: bool


def find_turns(item: Conversation, tokenizer: ChatTokenizer) -> tuple[str, tuple[Turn, ...]]:
    """Return the rendered conversation and every assistant turn in it, in order.

    Raises:
        TemplateError: the template refuses the conversation.
        TurnNotFound: a turn cannot be told apart from what is around it.
    """
    whole = tokenizer.render(item.messages, tools=item.tools)
    return whole, find_turns_in(whole, item, tokenizer)


def find_turns_in(
    whole: str, item: Conversation, tokenizer: ChatTokenizer
) -> tuple[Turn, ...]:
    """Return every assistant turn of ``item``, whose rendering is ``whole``.

    Raises:
        TurnNotFound: a turn cannot be told apart from what is around it.
    """
    view = _View(whole, item, tokenizer)
    turns: list[Turn] = []
    for number, message in enumerate(item.messages):
        if message["role"] != "assistant":
            continue
        turn = _find_turn(view, number)
        if turn is None or (turns and turn.start < turns[-1].end):
            raise TurnNotFound(
                f"message {number + 1} (assistant) cannot be found in what the chat template "
                "makes of it: the template rewrites or drops it"
            )
        turns.append(turn)
    return tuple(turns)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a template writes before and after an answer, whatever the answer is."""

    head: str
    tail: str

    def holds(self, text: str) -> bool:
        """Return whether ``text`` is an answer in this frame."""
        return (
            len(self.head) + len(self.tail) <= len(text)
            and text.startswith(self.head)
            and text.endswith(self.tail)
        )


@dataclass(frozen=True, slots=True)
class _View:
    """One conversation, and what its template makes of variations of it."""

    whole: str
    item: Conversation
    tokenizer: ChatTokenizer
    marks: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        free = [chr(code) for code in _MARKS if chr(code) not in self.whole]
        object.__setattr__(self, "marks", (free[0], free[1]))

    def render(self, messages: Sequence[Message], *, prompt: bool = False) -> str | None:
        """Return the rendering, or None if the template refuses: many refuse a half dialogue."""
        try:
            return self.tokenizer.render(
                messages, add_generation_prompt=prompt, tools=self.item.tools
            )
        except TemplateError:
            return None

    def with_answer(self, number: int, message: Message, end: int | None = None) -> str | None:
        """Return the rendering, up to message ``end``, with ``message`` in turn ``number``."""
        messages = self.item.messages
        return self.render((*messages[:number], message, *messages[number + 1 : end]))

    def frame(self, number: int, end: int | None = None) -> _Frame | None:
        """Return what stands around turn ``number``, found with another answer in its place."""
        mark = self.marks[0]
        listed = isinstance(self.item.messages[number].get("content"), list)
        content: Any = [{"type": "text", "text": mark}] if listed else mark
        text = self.with_answer(number, {"role": "assistant", "content": content}, end)
        if text is None or text.count(mark) != 1:
            return None
        head, tail = text.split(mark)
        return _Frame(head, tail)

    def marked_frame(self, number: int) -> _Frame | None:
        """Return what stands around the content of turn ``number``, found with marks around it.

        Marks outside its outer space come first; inside it they survive a template that trims.
        """
        message = self.item.messages[number]
        content = message.get("content")
        if not isinstance(content, str):
            return None
        left, right = self.marks
        inner = content.strip()
        outer = content.split(inner, 1) if inner else (content, "")
        for marked in (f"{left}{content}{right}", f"{outer[0]}{left}{inner}{right}{outer[1]}"):
            text = self.with_answer(number, {**message, "content": marked})
            if text is None or text.count(left) != 1 or text.count(right) != 1:
                continue
            if text.replace(left, "").replace(right, "") == self.whole:
                return _Frame(text.split(left)[0], text.split(right)[1])
        return None


def _find_turn(view: _View, number: int) -> Turn | None:
    prompt = view.render(view.item.messages[:number], prompt=True)
    alone = view.frame(number, number + 1)
    ending = "" if alone is None else _ending(alone.tail, view.tokenizer)
    return _find_as_generated(view, number, prompt, alone, ending) or _find_framed(
        view, number, prompt, ending
    )


def _find_as_generated(
    view: _View, number: int, prompt: str | None, alone: _Frame | None, ending: str
) -> Turn | None:
    """Find the turn as it is at inference: this prompt, these words, this end."""
    if prompt is None or alone is None or not view.whole.startswith(prompt):
        return None
    messages = view.item.messages[: number + 1]
    broken_off = view.whole if messages == view.item.messages else view.render(messages)
    if broken_off is None or not broken_off.startswith(prompt):
        return None
    beyond = broken_off[len(prompt) :]
    if beyond.endswith(alone.tail):
        generated = beyond[: len(beyond) - len(alone.tail)] + ending
    else:
        ending = _last_special(beyond, view.tokenizer) if messages[-1].get("tool_calls") else ""
        if not ending:
            return None
        generated = beyond.rstrip()
    if not view.whole.startswith(prompt + generated):
        return None
    skipped = _unprompted_header(view, number, prompt, alone)
    if not generated.startswith(skipped):
        return None
    start = len(prompt) + len(skipped)
    return Turn(number, start, len(prompt) + len(generated), ending.strip(), True)


def _find_framed(view: _View, number: int, prompt: str | None, ending: str) -> Turn | None:
    """Find the turn as the whole conversation shows it, where that is another form."""
    message = view.item.messages[number]
    frame, bare = view.frame(number), True
    if frame is None or not frame.holds(view.whole):
        frame, bare = view.marked_frame(number), False
    if frame is None:
        return None
    begins = prompt is not None and view.whole.startswith(prompt)
    if not bare and (message.get("tool_calls") or (not begins and _has_more(message))):
        return None  # the marks are around the content alone, and there is more to the turn
    end_of_turn = _ending_in_whole(frame.tail, ending, view.tokenizer)
    if begins and prompt is not None:
        header = frame.head[len(prompt) :] if _has_no_prompt(view, number, prompt) else ""
        start = len(prompt) + (len(header) if header.strip() else 0)
    else:
        start = _start_without_prompt(frame.head, prompt or "")
    end = len(view.whole) - len(frame.tail) + len(end_of_turn)
    if start > end:
        return None
    return Turn(number, start, end, end_of_turn.strip(), False)


def _has_more(message: Message) -> bool:
    return any(value for name, value in message.items() if name not in ("role", "content"))


def _has_no_prompt(view: _View, number: int, prompt: str) -> bool:
    """Return whether the template has no generation prompt of its own."""
    return view.render(view.item.messages[:number]) == prompt


def _unprompted_header(view: _View, number: int, prompt: str, alone: _Frame) -> str:
    """Return the header of an answer that a template without generation prompt does not give.

    With such a template (`### Response:` and no `add_generation_prompt` in it) whoever asks the
    model writes the header; so it is not learned. White space alone is no header: Llama 2 and
    Mistral leave the space after `[/INST]` to the model.
    """
    if not alone.head.startswith(prompt) or not alone.head[len(prompt) :].strip():
        return ""
    return alone.head[len(prompt) :] if _has_no_prompt(view, number, prompt) else ""


def _start_without_prompt(head: str, prompt: str) -> int:
    """Return where an answer begins whose prompt at inference is no beginning of the whole.

    After ``head``; but white space at its end is the model's if the prompt stops before it, as
    Mistral's stops at `[/INST]`.
    """
    shortest = len(head.rstrip())
    if head[shortest:] and head[:shortest][-1:] == prompt[-1:]:
        return shortest
    return len(head)


def _ending(tail: str, tokenizer: ChatTokenizer) -> str:
    """Return how the last turn of a conversation ends: the first part of what comes after it.

    That is the white space before the end-of-turn token, which has to be generated too, and the
    token; with Cohere's templates two, one right after the other. What comes after white space
    again is not generated any more: Phi-3 writes eos on the next line, once for the whole dialogue.
    """
    at = len(tail) - len(tail.lstrip())
    ended = False
    while token := _special_at(tail, at, tokenizer):
        at, ended = at + len(token), True
        if token in tokenizer.stop_tokens or token == tokenizer.eos_token:
            break
    return tail[:at] if ended else ""


def _ending_in_whole(tail: str, ending: str, tokenizer: ChatTokenizer) -> str:
    """Return how a turn ends where more follows it.

    Only as it would at inference, or with a token known to stop a generation: a special token may
    as well be the header of the next turn.
    """
    if ending and tail.startswith(ending):
        return ending
    at = len(tail) - len(tail.lstrip())
    token = _special_at(tail, at, tokenizer)
    stops = token in tokenizer.stop_tokens or token == tokenizer.eos_token
    return tail[: at + len(token)] if token and stops else ""


def _special_at(text: str, at: int, tokenizer: ChatTokenizer) -> str:
    """Return the special token that stands at position ``at``, the longest if several do."""
    found = (token for token in tokenizer.special_tokens if text.startswith(token, at))
    return max(found, key=len, default="")


def _last_special(text: str, tokenizer: ChatTokenizer) -> str:
    """Return the special token with which ``text`` ends, white space aside."""
    text = text.rstrip()
    found = (token for token in tokenizer.special_tokens if text.endswith(token))
    return max(found, key=len, default="")
