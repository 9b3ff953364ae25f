"""Checks of length and of what the words are: rules of thumb for data collected automatically."""

from __future__ import annotations

import re
import zlib
from itertools import pairwise
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import digit_count, is_taught, residue, word_count
from tui_ft.data.checks.glance import Glance
from tui_ft.data.items import Labelled
from tui_ft.data.row_view import RowView

_GUIDES: Final = "rule of thumb of fine-tuning guides"
_FEW_WORDS: Final = 10
_MANY_WORDS: Final = 2000
_URL_SHARE: Final = 0.3
_NUMERAL_SHARE: Final = 0.5
_TIMES: Final = 4
_LOOP_LENGTH: Final = 400
_LOOP_RATIO: Final = 0.1
_PROBE: Final = 24
_URL: Final = re.compile(r"[<(\[\"']*(?:https?://|www\.)", re.IGNORECASE)
_NUMERAL: Final = re.compile(r"[-+$€£¥(\[{\"']*\d[\d.,:/]*[%)\]}\"',;]*")
_PIECE_END: Final = re.compile(r"(?<=[.!?。！？])\s*|\n")


def _is_short(view: RowView) -> bool:
    answer = view.answer
    if len(answer.split(None, _FEW_WORDS)) >= _FEW_WORDS or not answer.strip():
        return False
    if not answer.isascii() and word_count(answer[:200]) >= _FEW_WORDS:
        return False
    return word_count(answer) < _FEW_WORDS and not isinstance(view.item, Labelled)


def _may_be_short(glance: Glance) -> list[int]:
    return glance.with_few_words(_FEW_WORDS - 1)


def _is_long(view: RowView) -> bool:
    # A word is one character at the least, and needs a space where the text is ASCII.
    least = _MANY_WORDS * 2 if view.whole.isascii() else _MANY_WORDS
    return len(view.whole) >= least and word_count(view.whole) > _MANY_WORDS


def _may_be_long(glance: Glance) -> list[int]:
    return glance.with_many_words(_MANY_WORDS)


def _is_url_heavy(view: RowView) -> bool:
    if b"/" not in residue(view.whole) or "http" not in view.answer:
        return False
    words = view.answer.split()
    urls = sum(_URL.match(word) is not None for word in words)
    # A single URL is the answer to a question that asks for one.
    return urls > 1 and urls > _URL_SHARE * len(words)


def _may_be_url_heavy(glance: Glance) -> list[int]:
    return [row for row in glance.saying(b"http") if "http" in glance.answers[row]]


def _is_number_heavy(view: RowView) -> bool:
    digits = digit_count(view.whole)
    answer = view.answer
    if digits <= _FEW_WORDS // 2 or digits <= _NUMERAL_SHARE * answer.count(" "):
        return False
    words = answer.split()
    # The guides drop shorter ones first, and a number is a good answer to a sum.
    if len(words) < _FEW_WORDS:
        return False
    numerals = sum(not word[0].isalpha() and _NUMERAL.fullmatch(word) is not None for word in words)
    return numerals > _NUMERAL_SHARE * len(words)


def _may_be_number_heavy(glance: Glance) -> list[int]:
    return glance.with_many_numbers()


def _is_repetitive(view: RowView) -> bool:
    answer = view.answer
    return _repeats_a_piece(answer) or (
        len(answer) > _LOOP_LENGTH and _is_loop(answer) and is_taught(view)
    )


def _may_be_repetitive(glance: Glance) -> set[int]:
    long = [row for row, said in enumerate(glance.answers) if len(said) > _LOOP_LENGTH]
    loops = [row for row in long if _comes_round(glance.answers[row])]
    return {*glance.repeating(), *loops}


def _repeats_a_piece(answer: str) -> bool:
    """Return whether a line or a sentence stands four times in a row."""
    for separator in ("\n", ". ") if answer.isascii() else ("\n", ". ", "。", "！"):
        pieces = list(filter(None, answer.split(separator)))  # blank lines repeat in any text
        # The last one ends otherwise, and so may the first.
        if len(pieces) >= _TIMES and len(pieces) - len(set(pieces)) >= _TIMES - 2:
            break
    else:
        return False
    run = 1
    pieces = [piece.strip() for piece in _PIECE_END.split(answer) if piece.strip()]
    for before, piece in pairwise(pieces):
        run = run + 1 if piece == before else 1
        if run >= _TIMES and _says_something(piece):
            return True
    return False


def _says_something(piece: str) -> bool:
    """Return whether ``piece`` is no rule, bracket, row of zeros or cry of joy."""
    least = 12 if piece.isascii() else 6
    return len(piece) >= least and sum(map(str.isalpha, piece)) * 2 > len(piece)


def _is_loop(answer: str) -> bool:
    """Return whether a text compresses as only loops do."""
    if not _comes_round(answer):
        return False
    data = answer.encode("utf-8", "surrogatepass")
    return len(zlib.compress(data)) < _LOOP_RATIO * len(data)


def _comes_round(answer: str) -> bool:
    """Return whether words from the middle stand in ``answer`` several times, as in all loops."""
    middle = len(answer) // 2
    probe = answer[middle : middle + _PROBE]
    return answer.count(probe) >= _TIMES and any(map(str.isalpha, probe))


SHORT_ANSWER: Final = RowCheck(
    CheckAbout(
        id="short-answer",
        title="answer under 10 words",
        severity="note",
        why="Many short answers teach the model to be terse.",
        advice="Nothing to do where answers are labels, numbers or code; else look at some of "
        "them. In Chinese, Japanese or Thai every character counts as a word.",
        source=_GUIDES,
    ),
    _is_short,
    _may_be_short,
    remedy="none",
)
LONG_ROW: Final = RowCheck(
    CheckAbout(
        id="long-row",
        title="over 2,000 words",
        severity="note",
        why="Long rows are cut at the maximum length, and one of them sets a batch's peak memory.",
        advice="Compare with max_length in tokens: raise it, split these rows or drop them.",
        source=_GUIDES,
    ),
    _is_long,
    _may_be_long,
    remedy="none",
)
URL_HEAVY: Final = RowCheck(
    CheckAbout(
        id="url-heavy",
        title="mostly URLs",
        severity="warning",
        why="More than 30 % of the answer's words are URLs: the model learns to invent links.",
        advice="Drop lists of links; keep them where the task is to return given links.",
        source=_GUIDES,
    ),
    _is_url_heavy,
    _may_be_url_heavy,
)
NUMBER_HEAVY: Final = RowCheck(
    CheckAbout(
        id="number-heavy",
        title="mostly numbers",
        severity="note",
        why="More than half of the answer's words are numbers: often a stray table or a log.",
        advice="Nothing to do where answers are series, tables or calculations.",
        source=_GUIDES,
    ),
    _is_number_heavy,
    _may_be_number_heavy,
    remedy="none",
)
REPETITION: Final = RowCheck(
    CheckAbout(
        id="repetition",
        title="answer repeats itself",
        severity="warning",
        why="A line or sentence stands four times in a row, or the answer is one loop: a model "
        "trained on loops falls into them.",
        advice="Drop what a model generated; keep songs and answers that are asked to repeat.",
    ),
    _is_repetitive,
    _may_be_repetitive,
)
CHECKS: Final = (SHORT_ANSWER, LONG_ROW, URL_HEAVY, NUMBER_HEAVY, REPETITION)
