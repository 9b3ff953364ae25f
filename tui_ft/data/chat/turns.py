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
Nor is one of which the template leaves out what the assistant says, or calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from tui_ft.data.chat.protocol import ChatTokenizer, TemplateError
from tui_ft.data.items import ASSISTANT, REASONING, Conversation, Message

# Private use: no template's logic asks for these, `trim` leaves them, and data hardly has them.
_MARKS: Final = range(0xE0F0, 0xE1F0)
_THINK: Final = re.compile(r"\s*<think>\s*")


class TurnNotFoundError(Exception):
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
            another form than it asks for them, or has no generation prompt.
    """

    message: int
    start: int
    end: int
    end_of_turn: str
    as_generated: bool


def find_turns(
    whole: str, item: Conversation, tokenizer: ChatTokenizer, wanted: Sequence[int] | None = None
) -> tuple[Turn, ...]:
    """Return where assistant turns of ``item`` stand in ``whole``, its rendering.

    Args:
        whole: the conversation, rendered without a generation prompt.
        item: the conversation.
        tokenizer: the model's own.
        wanted: positions of the messages to find, in order; every assistant message by default.

    Raises:
        TurnNotFoundError: a turn cannot be told apart from what is around it.
    """
    if wanted is None:
        wanted = item.answers
    view = _View(whole, item, tokenizer)
    turns: list[Turn] = []
    for number in wanted:
        turn = _find_turn(view, number)
        if turn is None or (turns and turn.start < turns[-1].end):
            raise TurnNotFoundError(
                f"message {number + 1} (assistant) cannot be found in what the chat template "
                "makes of it: the template rewrites or drops it"
            )
        missing = _left_out(
            item.messages[number], whole[turn.start : turn.end].removesuffix(turn.end_of_turn)
        )
        if missing:
            raise TurnNotFoundError(
                f"the chat template leaves out {missing} of message {number + 1} (assistant)"
            )
        turns.append(turn)
    return tuple(turns)


def prompt_before(item: Conversation, number: int, tokenizer: ChatTokenizer) -> str:
    """Return what the model is given to answer with message ``number``.

    The header of the answer is in it, even where the template has no generation prompt.

    Raises:
        TemplateError: the template refuses the messages before.
    """
    before = item.messages[:number]
    prompt = tokenizer.render(before, add_generation_prompt=True, tools=item.tools)
    view = _View(prompt, item, tokenizer)
    alone = view.frame(number, number + 1)
    return prompt + ("" if alone is None else _unprompted_header(view, number, prompt, alone))


def _left_out(message: Message, words: str) -> str:
    """Return what of ``message`` is not in the ``words`` of its turn, as far as can be told."""
    is_empty = not words.strip()
    if is_empty and str(message.get("content") or "").strip():
        return "the content"
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list | tuple) else ()
    functions = [call.get("function") or call for call in calls if isinstance(call, dict)]
    names = [str(function.get("name")) for function in functions if isinstance(function, dict)]
    if not all(name in words for name in names):
        return "the tool calls"
    return "the reasoning" if is_empty and any(message.get(name) for name in REASONING) else ""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a template writes before and after an answer, whatever the answer is.

    Attributes:
        complete: whether all of the turn is between the two; else its content is.
    """

    head: str
    tail: str
    complete: bool = True

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
        free = (chr(code) for code in _MARKS if chr(code) not in self.whole)
        object.__setattr__(self, "marks", (next(free), next(free)))

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
        text = self.with_answer(number, {"role": ASSISTANT, "content": content}, end)
        if text is None or text.count(mark) != 1:
            return None
        head, tail = text.split(mark)
        return _Frame(head, tail)

    def marked_frame(self, number: int) -> _Frame | None:
        """Return what stands around turn ``number``, found with marks around what it says."""
        left, right = self.marks
        for message, complete in _marked(self.item.messages[number], left, right):
            text = self.with_answer(number, message)
            if text is None or text.count(left) != 1 or text.count(right) != 1:
                continue
            if text.replace(left, "").replace(right, "") == self.whole:
                return _Frame(text.split(left)[0], text.split(right)[1], complete)
        return None


def _marked(message: Message, left: str, right: str) -> Iterator[tuple[Message, bool]]:
    """Return ``message`` with a mark before and after what it says, in several places.

    Each comes with whether all of the turn is between the marks. Marks outside the outer space of
    the content come first; inside it they survive a template that trims; after a `<think>` one that
    takes the content apart.
    """
    content = message.get("content")
    if not isinstance(content, str):
        return
    for name in REASONING:
        if isinstance(thought := message.get(name), str):
            yield {**message, name: f"{left}{thought}", "content": f"{content}{right}"}, True
    inner = content.strip()
    before, after = content.split(inner, 1) if inner else (content, "")
    complete = not any(message.get(name) for name in (*REASONING, "tool_calls"))
    yield {**message, "content": f"{left}{content}{right}"}, complete
    yield {**message, "content": f"{before}{left}{inner}{right}{after}"}, complete
    if opening := _THINK.match(content):
        thought, rest = opening[0], content[opening.end() :].rstrip()
        yield {**message, "content": f"{thought}{left}{rest}{right}"}, complete


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
    if prompt is None or not view.whole.startswith(prompt):
        return None
    messages = view.item.messages[: number + 1]
    is_last = len(messages) == len(view.item.messages)
    broken_off = view.whole if is_last else view.render(messages)
    if broken_off is None or not broken_off.startswith(prompt):
        return None
    beyond = broken_off[len(prompt) :]
    if alone is not None and beyond.endswith(alone.tail):
        generated = beyond[: len(beyond) - len(alone.tail)] + ending
    elif messages[-1].get("tool_calls") and (ending := _last_special(beyond, view.tokenizer)):
        generated = beyond.rstrip()  # calls may end otherwise than answers do (gpt-oss, Gemma 4)
    else:
        return None
    header = "" if alone is None else _unprompted_header(view, number, prompt, alone)
    if not view.whole.startswith(prompt + generated) or not generated.startswith(header):
        return None
    start, end = len(prompt) + len(header), len(prompt) + len(generated)
    if not ending:  # GLM-4 ends an answer with the token that opens the user's turn
        ending = _ending_in_whole(view.whole[end:], "", view.tokenizer)
        end += len(ending)
    return Turn(number, start, end, ending.strip(), as_generated=not header)


def _find_framed(view: _View, number: int, prompt: str | None, ending: str) -> Turn | None:
    """Find the turn as the whole conversation shows it, where that is another form."""
    frame = view.frame(number)
    if frame is None or not frame.holds(view.whole):
        frame = view.marked_frame(number)
    begins = prompt is not None and view.whole.startswith(prompt)
    if frame is None or not (frame.complete or begins):
        return None
    end_of_turn = _ending_in_whole(frame.tail, ending, view.tokenizer)
    if begins and prompt is not None:
        header = frame.head[len(prompt) :] if _has_no_prompt(view, number, prompt) else ""
        start = len(prompt) + (len(header) if header.strip() else 0)
    else:
        start = _start_without_prompt(frame.head, prompt or "")
    end = len(view.whole) - len(frame.tail) + len(end_of_turn)
    calls_tools = bool(view.item.messages[number].get("tool_calls"))
    if start > end or (calls_tools and _reaches(view, number, end)):
        return None
    return Turn(number, start, end, end_of_turn.strip(), as_generated=False)


def _reaches(view: _View, number: int, end: int) -> bool:
    """Return whether a turn that ends at ``end`` could hold words of the next message.

    Gemma 4 writes what a tool returned into the turn that called it.
    """
    if number + 1 == len(view.item.messages):
        return False
    following = view.marked_frame(number + 1)
    return following is None or len(following.head) < end


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
    # A token that stops generations need not be declared special: some fine-tuned models add
    # theirs as an ordinary one.
    found = _any_of(tokenizer.special_tokens | tokenizer.stop_tokens).match(text, at)
    return found[0] if found else ""


@lru_cache(maxsize=8)
def _any_of(tokens: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern for any of ``tokens``: some models have hundreds of special tokens."""
    longest_first = sorted(filter(None, tokens), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _last_special(text: str, tokenizer: ChatTokenizer) -> str:
    """Return the special token with which ``text`` ends, white space aside."""
    text = text.rstrip()
    ends = tokenizer.special_tokens | tokenizer.stop_tokens
    found = (token for token in ends if text.endswith(token))
    return max(found, key=len, default="")
