"""Which tokens of a row carry loss: exactly those that the model has to generate itself.

For any chat template, with or without `{% generation %}` marks. The conversation is rendered once,
whole. An assistant turn begins where the rendering of the turns before it, with the generation
prompt, ends: so what a template puts before the content for the model to produce (a leading space,
an empty `<think>` block) is learned, and what it is given at inference is not. The turn ends with
the end-of-turn token that follows its content. Where a template rewrites earlier turns, so that
the shorter rendering is no beginning of the whole, the content is found with marks put around it.
Nothing is ever guessed: a turn that cannot be found makes the row a problem with its reason.

Masks never derive from token ids: where padding and end-of-turn share an id (SmolLM2), the
end-of-turn is learned and the padding is not.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from tui_ft.data.formats import Completion, Conversation, Document, Item, Message

LossOn = Literal["assistant", "last_assistant", "all"]
Span = tuple[int, int]

# Private-use characters: no tokenizer's text, no template's logic and no data has them by accident.
_OPEN: Final = "\ue0f0\ue0f1"
_CLOSE: Final = "\ue0f1\ue0f0"


class TemplateError(Exception):
    """The chat template refused a conversation; the message is the template's own."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids, and for each token its span of characters; None where a tokenizer has no spans."""

    ids: list[int]
    offsets: list[Span] | None


class ChatTokenizer(Protocol):
    """What a mask needs of a tokenizer, whichever library it comes from."""

    @property
    def special_tokens(self) -> frozenset[str]:
        """The special tokens, as text: an answer ends with one of them."""

    @property
    def eos_token(self) -> str | None:
        """The token that ends a generation, as text."""

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text, when there is one."""

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
        """Return the tokens of ``text``, with no special token added."""


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """A row as the model sees it.

    Attributes:
        text: the row rendered, special tokens included.
        input_ids: its tokens, at most `max_length` of them.
        supervised: for each token whether it carries loss.
        spans: the supervised spans of characters in `text`.
        ends_turn: whether an end-of-turn token is supervised, before anything was cut.
        full_length: tokens before the row was cut to `max_length`.
        full_supervised: supervised tokens before that.
        double_bos: whether the row begins with two begin-of-text tokens.
    """

    text: str
    input_ids: list[int]
    supervised: list[bool]
    spans: tuple[Span, ...]
    ends_turn: bool
    full_length: int
    full_supervised: int
    double_bos: bool = False

    @property
    def supervised_count(self) -> int:
        """Tokens that carry loss, after the row was cut."""
        return sum(self.supervised)


def mask_row(
    item: Item,
    tokenizer: ChatTokenizer,
    *,
    loss_on: LossOn = "assistant",
    max_length: int | None = None,
) -> MaskedRow | str:
    """Return ``item`` as tokens with those that carry loss marked, or why that cannot be done.

    Args:
        item: what the row has to teach.
        tokenizer: the model's own.
        loss_on: every answer, the last one, or every token.
        max_length: cut the row after this many tokens; None for never.
    """
    match item:
        case Document(text):
            return _mask_text(text, 0, tokenizer, max_length)
        case Completion(prompt, completion):
            start = 0 if loss_on == "all" else len(prompt)
            return _mask_text(prompt + completion, start, tokenizer, max_length)
        case Conversation():
            return _mask_conversation(item, tokenizer, loss_on, max_length)


def prompt_text(item: Item, tokenizer: ChatTokenizer) -> str | None:
    """Return what the model is given to answer the row's last turn; None if there is none.

    Raises:
        TemplateError: the template refuses the conversation.
    """
    match item:
        case Document():
            return None
        case Completion(prompt, _):
            return prompt
        case Conversation(messages, tools):
            last = max((n for n, m in enumerate(messages) if m["role"] == "assistant"), default=0)
            if last == 0:
                return None
            return tokenizer.render(messages[:last], add_generation_prompt=True, tools=tools)


def _mask_text(
    text: str, start: int, tokenizer: ChatTokenizer, max_length: int | None
) -> MaskedRow:
    """Mask text that goes through no template: a begin token before, an end token after it."""
    bos, eos = tokenizer.bos_token or "", tokenizer.eos_token or ""
    before = "" if not bos or text.startswith(bos) else bos
    after = "" if not eos or text.endswith(eos) else eos
    whole = f"{before}{text}{after}"
    span = (start + len(before) if start else len(before), len(whole))
    return _masked(whole, [span], bool(eos), tokenizer, max_length)


def _mask_conversation(
    item: Conversation, tokenizer: ChatTokenizer, loss_on: LossOn, max_length: int | None
) -> MaskedRow | str:
    try:
        whole = tokenizer.render(item.messages, tools=item.tools)
        turns = [n for n, m in enumerate(item.messages) if m["role"] == "assistant"]
        found = [_find_turn(item, number, whole, tokenizer) for number in turns]
    except TemplateError as error:
        return f"the chat template refuses it: {error}"
    if loss_on == "last_assistant":
        turns, found = turns[-1:], found[-1:]
    missing = [n for n, turn in zip(turns, found, strict=True) if turn is None]
    if missing and loss_on != "all":
        return (
            f"message {missing[0] + 1} (assistant) cannot be found in what the chat template makes "
            "of it: the template rewrites or drops it"
        )
    located = [turn for turn in found if turn is not None]
    ends_turn = any(ended for _, ended in located)
    spans = [(0, len(whole))] if loss_on == "all" else [span for span, _ in located]
    return _masked(whole, spans, ends_turn, tokenizer, max_length)


def _find_turn(
    item: Conversation, number: int, whole: str, tokenizer: ChatTokenizer
) -> tuple[Span, bool] | None:
    """Return the span of assistant turn ``number`` in ``whole``, and whether it ends its turn.

    Between content and end-of-turn a template may put what the model has to write as well (tool
    calls, a closing mark): everything up to the end token is the turn's.
    """
    content = _find_content(item, number, whole, tokenizer)
    start = _generation_start(item, number, whole, tokenizer)
    if start is None and content is not None:
        start = content[0]
    if start is None:
        return None
    if content is not None and content[0] < start:
        content = None
    body_end = start if content is None else content[1]
    is_last = number + 1 == len(item.messages)
    following = None if is_last else _find_content(item, number + 1, whole, tokenizer)
    end_token = _end_token(item, number, tokenizer)
    limit = len(whole) if following is None else following[0]
    at = whole.find(end_token, body_end, limit) if end_token else -1
    if at >= 0:
        return (start, at + len(end_token)), True
    if content is not None:
        return (start, content[1]), False
    return ((start, len(whole)), False) if is_last else None


def _end_token(item: Conversation, number: int, tokenizer: ChatTokenizer) -> str:
    """Return the token that ends assistant turn ``number``, "" when the template puts none.

    It is the last special token of the conversation broken off after that turn: there, nothing
    follows that could be taken for it, such as the mark that opens the next turn.
    """
    part = Conversation(item.messages[: number + 1], item.tools)
    try:
        text = tokenizer.render(part.messages, tools=part.tools)
    except TemplateError:
        return tokenizer.eos_token or ""
    content = _find_content(part, number, text, tokenizer)
    start = content[1] if content else _generation_start(part, number, text, tokenizer)
    tail = "" if start is None else text[start:]
    last = max(
        ((at, token) for token in tokenizer.special_tokens if (at := tail.rfind(token)) >= 0),
        default=(0, ""),
    )
    return last[1]


def _generation_start(
    item: Conversation, number: int, whole: str, tokenizer: ChatTokenizer
) -> int | None:
    """Return where generation of the turn begins, if the shorter rendering begins the whole one."""
    try:
        before = tokenizer.render(
            item.messages[:number], add_generation_prompt=True, tools=item.tools
        )
    except TemplateError:
        return None  # many templates refuse an empty beginning, or one that ends with a system turn
    return len(before) if before and whole.startswith(before) else None


def _find_content(
    item: Conversation, number: int, whole: str, tokenizer: ChatTokenizer
) -> Span | None:
    """Return where the content of turn ``number`` stands in ``whole``.

    Marks are put just inside its outer space, so that a template that trims trims as before. They
    tell the truth only if the rendering without them is the plain one.
    """
    message = item.messages[number]
    content = message.get("content")
    if not isinstance(content, str):
        return None
    inner = content.strip()
    lead = content[: len(content) - len(content.lstrip())] if inner else content
    trail = content[len(content.rstrip()) :] if inner else ""
    marked: Mapping[str, Any] = {**message, "content": f"{lead}{_OPEN}{inner}{_CLOSE}{trail}"}
    turns = (*item.messages[:number], marked, *item.messages[number + 1 :])
    try:
        text = tokenizer.render(turns, tools=item.tools)
    except TemplateError:
        return None
    start, end = text.find(_OPEN), text.find(_CLOSE)
    once = text.count(_OPEN) == 1 and text.count(_CLOSE) == 1
    if once and start < end and text.replace(_OPEN, "").replace(_CLOSE, "") == whole:
        return _with_kept_space(whole, (start, end - len(_OPEN)), lead, trail)
    return _find_once(whole, inner)


def _with_kept_space(whole: str, span: Span, lead: str, trail: str) -> Span:
    """Widen a content's span by its own outer space where the template kept it."""
    start, end = span
    if lead and whole[:start].endswith(lead):
        start -= len(lead)
    if trail and whole[end:].startswith(trail):
        end += len(trail)
    return start, end


def _find_once(whole: str, content: str) -> Span | None:
    """Return where ``content`` stands if it stands in one place only."""
    if not content or whole.count(content) != 1:
        return None
    at = whole.index(content)
    return at, at + len(content)


def _masked(
    whole: str,
    spans: Sequence[Span],
    ends_turn: bool,
    tokenizer: ChatTokenizer,
    max_length: int | None,
) -> MaskedRow:
    encoded = tokenizer.encode(whole)
    if encoded.offsets is None:
        supervised = _mask_without_offsets(whole, spans, len(encoded.ids), tokenizer)
    else:
        supervised = _mask_by_offsets(spans, encoded.offsets)
    kept = len(encoded.ids) if max_length is None else max_length
    bos = tokenizer.bos_token
    return MaskedRow(
        text=whole,
        input_ids=encoded.ids[:kept],
        supervised=supervised[:kept],
        spans=tuple(spans),
        ends_turn=ends_turn,
        full_length=len(encoded.ids),
        full_supervised=sum(supervised),
        double_bos=bool(bos) and whole.startswith(f"{bos}{bos}"),
    )


def _mask_by_offsets(spans: Sequence[Span], offsets: Sequence[Span]) -> list[bool]:
    """Mark the tokens that begin inside a span.

    A token that begins before a span and reaches into it is given to the model at inference in
    another form, and is not learned; one that begins inside and reaches out of it is the model's.
    A token of no width (a byte of a character begun before) goes with the character.
    """
    starts = [start for start, _ in spans]
    marks = []
    for begin, _ in offsets:
        index = bisect.bisect_right(starts, begin) - 1
        marks.append(index >= 0 and begin < spans[index][1])
    return marks


def _mask_without_offsets(
    whole: str, spans: Sequence[Span], length: int, tokenizer: ChatTokenizer
) -> list[bool]:
    """Find the borders by encoding the text up to each of them, for tokenizers without offsets."""
    marks = [False] * length
    for start, end in spans:
        first = len(tokenizer.encode(whole[:start]).ids)
        last = length if end == len(whole) else len(tokenizer.encode(whole[:end]).ids)
        marks[first:last] = [True] * (min(last, length) - first)
    return marks
