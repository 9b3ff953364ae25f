"""Which tokens the characters of a turn are, whether or not a tokenizer tells offsets.

The rules for tokens that hold a border are those of `loss_mask`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from tui_ft.data.chat.protocol import ChatTokenizer, Encoded, Span, TokenSpans


def token_ranges(
    whole: str, spans: Sequence[Span], encoded: Encoded, tokenizer: ChatTokenizer
) -> tuple[list[tuple[int, int]], int]:
    """Return for each span its tokens `[first, last)`, and how many begin before their span."""
    if encoded.offsets is None:
        return _ranges_without_offsets(whole, spans, encoded.ids, tokenizer)
    return _ranges(whole, spans, _Begins(encoded.offsets), tokenizer)


def ranges_in_place(
    whole: str, spans: Sequence[Span], tokens: TokenSpans, tokenizer: ChatTokenizer
) -> tuple[list[tuple[int, int]], int]:
    """Return the same as `token_ranges` where offsets never go back, looking at few of them.

    To have all offsets of a row takes as long as half of encoding it.
    """
    return _ranges(whole, spans, _BeginsInPlace(tokens, len(whole)), tokenizer)


def _ranges(
    whole: str, spans: Sequence[Span], begins: _Begins | _BeginsInPlace, tokenizer: ChatTokenizer
) -> tuple[list[tuple[int, int]], int]:
    ranges, straddling = [], 0
    for start, end in spans:
        first, last = begins.index_of(start), begins.index_of(end)
        reaches_in = first > 0 and begins.span(first - 1)[1] > start and start < end
        if reaches_in and not _is_special(whole, begins.span(first - 1), tokenizer):
            straddling += 1
            first = begins.index_of(begins.of(first - 1))
        ranges.append((first, max(first, last)))
    return ranges, straddling


class _Begins:
    """Where each token begins, never going back.

    A token of white space has no width left when a tokenizer trims offsets (GPT-2, SmolLM2): it
    begins where the one before it ended. The bytes of one character share its place.
    """

    def __init__(self, offsets: Sequence[Span]) -> None:
        self._offsets = offsets
        self._starts: list[int] = list(accumulate([start for start, _ in offsets], max))
        self._reached: list[int] = list(accumulate([end for _, end in offsets], max))

    def span(self, token: int) -> Span:
        """Return the offsets of a token."""
        return self._offsets[token]

    def of(self, token: int) -> int:
        """Return where a token begins."""
        start, end = self._offsets[token]
        if start != end:
            return self._starts[token]
        return min(self._starts[token], self._reached[token - 1] if token else 0)

    def index_of(self, position: int) -> int:
        """Return the first token that begins at ``position`` or after it."""
        token = bisect_left(self._starts, position)
        while token < len(self._starts) and self.of(token) < position:
            token += 1
        return token


class _BeginsInPlace:
    """As `_Begins` where offsets never go back, asked for about the place that is looked for."""

    def __init__(self, tokens: TokenSpans, length: int) -> None:
        self._tokens = tokens
        self._count = len(tokens)
        self._length = length

    def span(self, token: int) -> Span:
        """Return the offsets of a token."""
        return self._tokens.span(token)

    def of(self, token: int) -> int:
        """Return where a token begins."""
        start, end = self._tokens.span(token)
        if start != end:
            return start
        return min(start, self._tokens.span(token - 1)[1] if token else 0)

    def index_of(self, position: int) -> int:
        """Return the first token that begins at ``position`` or after it."""
        token = self._near(position)
        while token > 0 and self._tokens.span(token - 1)[0] >= position:
            token -= 1
        while token < self._count and self._tokens.span(token)[0] < position:
            token += 1
        while token < self._count and self.of(token) < position:
            token += 1
        return token

    def _near(self, position: int) -> int:
        """Return the token of the first character from ``position`` on that is in any."""
        for character in range(position, self._length):
            token = self._tokens.at(character)
            if token is not None:
                return token
        return self._count


def _is_special(whole: str, span: Span, tokenizer: ChatTokenizer) -> bool:
    return whole[slice(*span)].strip() in tokenizer.special_tokens


def _ranges_without_offsets(
    whole: str, spans: Sequence[Span], ids: Sequence[int], tokenizer: ChatTokenizer
) -> tuple[list[tuple[int, int]], int]:
    """Find the borders by encoding the text up to each of them, for tokenizers without offsets."""
    ranges, straddling = [], 0
    for start, end in spans:
        first, starts_inside = _border(whole, start, ids, tokenizer)
        last, ends_inside = _border(whole, end, ids, tokenizer)
        straddling += starts_inside
        ranges.append((first, max(first, last + ends_inside)))
    return ranges, straddling


def _border(
    whole: str, border: int, ids: Sequence[int], tokenizer: ChatTokenizer
) -> tuple[int, bool]:
    """Return how many tokens end before ``border``, and whether it cuts through the next one.

    No token is cut if the text before the border has the tokens that the whole begins with, or the
    text after it those that the whole ends with. Either may fail for itself: white space at the end
    is put together otherwise (GPT-2), a text's first word gets a space (SentencePiece).
    """
    before = tokenizer.encode(whole[:border]).ids
    if before == ids[: len(before)]:
        return len(before), False
    after = tokenizer.encode(whole[border:]).ids
    if after == ids[len(ids) - len(after) :]:
        return len(ids) - len(after), False
    pairs = enumerate(zip(before, ids, strict=False))
    return next((n for n, (one, two) in pairs if one != two), min(len(before), len(ids))), True
