"""Which tokens of a row carry loss: exactly those that the model has to generate itself.

For any chat template, with or without `{% generation %}` marks: `turns` finds the characters, this
module the tokens. A token carries loss when at least one of its characters has to be generated:

- A token that begins before an answer and reaches into it (`": yes"` as `":"`, `" yes"` under a
  template that ends its prompt with a space) is learned, for it may be all of the answer. Such
  tokens are counted in `MaskedRow.straddling`, since at inference the model meets others.
- Not so a special token: white space it swallows does not make the header of an answer learned.
- A token that begins inside and reaches out of an answer is learned.

Masks never derive from token ids: where padding and end-of-turn share an id (SmolLM2), the
end-of-turn is learned and the padding is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tui_ft.data.chat.protocol import ChatTokenizer, Span, TemplateError
from tui_ft.data.chat.token_ranges import token_ranges
from tui_ft.data.chat.turn_shapes import shapes_of
from tui_ft.data.chat.turns import Turn, TurnNotFoundError, find_turns, prompt_before
from tui_ft.data.items import (
    AnyItem,
    Completion,
    Conversation,
    Document,
    Item,
    Prompt,
    taught,
)
from tui_ft.vocabulary import LossOn


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """A row as the model sees it.

    Attributes:
        text: the row rendered, special tokens included.
        input_ids: its tokens, at most `max_length` of them.
        supervised: for each token whether it carries loss.
        spans: the supervised spans of characters in `text`, before anything was cut.
        ends_turn: whether an end-of-turn token carries loss, in what `max_length` left.
        full_length: tokens before the row was cut to `max_length`.
        full_supervised: supervised tokens before that.
        double_bos: whether the row begins with two begin-of-text tokens.
        turns: the answers that are learned, before anything was cut. A plain completion or text
            counts as one.
        unended: how many of them do not end in what `max_length` left: the template writes no
            end-of-turn token, or it was cut off.
        straddling: tokens that hold the end of a prompt and the beginning of its answer.
        first_end: tokens up to and with the first end of turn that carries loss, before anything
            was cut; 0 for none.
    """

    text: str
    input_ids: list[int]
    supervised: list[bool]
    spans: tuple[Span, ...]
    ends_turn: bool
    full_length: int
    full_supervised: int
    double_bos: bool = False
    turns: tuple[Turn, ...] = ()
    unended: int = 0
    straddling: int = 0
    first_end: int = 0

    @property
    def supervised_count(self) -> int:
        """Tokens that carry loss, after the row was cut."""
        return sum(self.supervised)

    @property
    def cut_tokens(self) -> int:
        """Tokens that `max_length` cut off."""
        return self.full_length - len(self.input_ids)

    @property
    def as_generated(self) -> bool:
        """Whether every answer stands in the text as the model is asked for it at inference."""
        return all(turn.as_generated for turn in self.turns)


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
            return _mask_text("", text, tokenizer, "assistant", max_length)
        case Completion(prompt, completion):
            return _mask_text(prompt, completion, tokenizer, loss_on, max_length)
        case Conversation():
            return _mask_conversation(item, tokenizer, loss_on, max_length)


def mask_each(
    item: AnyItem, tokenizer: ChatTokenizer, *, loss_on: LossOn = "assistant"
) -> tuple[MaskedRow | str, ...]:
    """Return the masks of all that ``item`` holds: of a pair both sides, the better one first.

    A prompt without an answer becomes tokens of which none is learned.
    """
    if isinstance(item, Prompt):
        return (_mask_prompt(item, tokenizer),)
    return tuple([mask_row(part, tokenizer, loss_on=loss_on) for part in taught(item)])


def _mask_prompt(item: Prompt, tokenizer: ChatTokenizer) -> MaskedRow | str:
    whole = item.messages
    if not isinstance(whole, str):
        try:
            whole = tokenizer.render(whole, add_generation_prompt=True, tools=item.tools)
        except TemplateError as error:
            return f"the chat template refuses it: {error}"
    ids = tokenizer.encode(whole).ids
    return MaskedRow(whole, ids, [False] * len(ids), (), False, len(ids), 0)


def prompt_text(item: Item, tokenizer: ChatTokenizer) -> str | None:
    """Return what the model is given to answer the row's last turn; None if there is none.

    Raises:
        TemplateError: the template refuses the conversation.
    """
    match item:
        case Document():
            return None
        case Completion(prompt, _):
            return f"{_leading_bos(prompt, tokenizer)}{prompt}"
        case Conversation():
            last = item.answers[-1] if item.answers else 0
            return prompt_before(item, last, tokenizer) if last else None


def _mask_text(
    prompt: str,
    answer: str,
    tokenizer: ChatTokenizer,
    loss_on: LossOn,
    max_length: int | None,
) -> MaskedRow:
    whole, turn = text_with_ends(prompt, answer, tokenizer)
    return masked(whole, [turn], tokenizer, loss_on, max_length)


def text_with_ends(prompt: str, answer: str, tokenizer: ChatTokenizer) -> tuple[str, Turn]:
    """Return text that goes through no template, and what of it is learned.

    A begin token stands before it, an end token after it.
    """
    before = f"{_leading_bos(prompt or answer, tokenizer)}{prompt}"
    eos = tokenizer.eos_token or ""
    whole = before + (answer if eos and answer.endswith(eos) else f"{answer}{eos}")
    return whole, Turn(0, len(before), len(whole), eos, as_generated=True)


def _leading_bos(text: str, tokenizer: ChatTokenizer) -> str:
    bos = tokenizer.bos_token or ""
    return "" if bos and text.startswith(bos) else bos


def _mask_conversation(
    item: Conversation, tokenizer: ChatTokenizer, loss_on: LossOn, max_length: int | None
) -> MaskedRow | str:
    try:
        whole = tokenizer.render(item.messages, tools=item.tools)
    except TemplateError as error:
        return f"the chat template refuses it: {error}"
    wanted = learned_messages(item, loss_on)
    turns = shapes_of(tokenizer).turns(whole, item, tokenizer, wanted)
    if turns is None:
        try:
            turns = find_turns(whole, item, tokenizer, wanted)
        except TurnNotFoundError as fault:
            if loss_on != "all":
                return str(fault)
            turns = ()
    return masked(whole, turns, tokenizer, loss_on, max_length)


def learned_messages(item: Conversation, loss_on: LossOn) -> tuple[int, ...]:
    """Return the positions of the assistant's messages that are learned."""
    if loss_on == "all":
        return item.answers
    return item.learned_answers[-1:] if loss_on == "last_assistant" else item.learned_answers


def masked(
    whole: str,
    turns: Sequence[Turn],
    tokenizer: ChatTokenizer,
    loss_on: LossOn,
    max_length: int | None,
) -> MaskedRow:
    """Return the mask of a rendered row whose turns are known."""
    encoded = tokenizer.encode(whole)
    length = len(encoded.ids)
    kept = length if max_length is None else min(length, max_length)
    spans = [(turn.start, turn.end) for turn in turns]
    ranges, straddling = token_ranges(whole, spans, encoded, tokenizer)
    supervised = [loss_on == "all"] * length
    for first, last in ranges:
        supervised[first:last] = [True] * (last - first)
    ended = [
        bool(turn.end_of_turn) and last <= kept
        for turn, (_, last) in zip(turns, ranges, strict=True)
    ]
    # When everything is learned, turns need not be found. Then a special token at the very end is
    # all that can be known of how they end.
    ends_anyhow = loss_on == "all" and not turns and kept == length
    bos = tokenizer.bos_token
    return MaskedRow(
        text=whole,
        input_ids=encoded.ids[:kept],
        supervised=supervised[:kept],
        spans=((0, len(whole)),) if loss_on == "all" else tuple(spans),
        ends_turn=any(ended) or (ends_anyhow and _ends_with_special(whole, tokenizer)),
        full_length=length,
        full_supervised=sum(supervised),
        double_bos=bool(bos) and whole.startswith(f"{bos}{bos}"),
        turns=tuple(turns),
        unended=len(ended) - sum(ended),
        straddling=straddling,
        first_end=next(
            (last for turn, (_, last) in zip(turns, ranges, strict=True) if turn.end_of_turn),
            length if ends_anyhow and _ends_with_special(whole, tokenizer) else 0,
        ),
    )


def _ends_with_special(text: str, tokenizer: ChatTokenizer) -> bool:
    return text.rstrip().endswith(tuple(filter(None, tokenizer.special_tokens)))
