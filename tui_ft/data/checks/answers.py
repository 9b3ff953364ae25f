"""Checks of a question and its answer: missing, unfinished, copied."""

from __future__ import annotations

import re
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import is_taught, residue
from tui_ft.data.checks.glance import Glance
from tui_ft.data.items import Document, Labelled
from tui_ft.data.row_view import RowView

_GUIDES: Final = "rule of fine-tuning guides"
_NOTHING: Final = frozenset(("n/a", "...", "…", "tbd", "xxx", "......", "todo", "……", "[blank]"))
_LONGEST_NOTHING: Final = 8
_TODO: Final = re.compile(
    r"\b(?:TODO|FIXME)\b(?:\s*[:(\]]|\s*$)|(?:#|//|/\*|--)\s*(?:TODO|FIXME|XXX)\b|\bXXX:",
    re.MULTILINE,
)
_TO_FILL_IN: Final = re.compile(
    r"\[insert\b[^\]\n]{1,60}\]|<(?:your|insert)[ _-][^>\n]{1,40}[ _-]here>|<insert [^>\n]{1,40}>",
    re.IGNORECASE,
)
_UNFINISHED: Final = re.compile(rb"TODO|FIXME|XXX")
_GAPS: Final = ("nsert", "NSERT", "here>", "HERE>")
# Without case: a dotted capital and a small letter without a dot begin with 0xC4 in UTF-8.
_GAP_BEGINNINGS: Final = (*(b"[i", b"[I", b"[\xc4", b"<i", b"<I", b"<\xc4", b"<y", b"<Y"),)
_LOREM: Final = re.compile(r"lorem ipsum", re.IGNORECASE)
_ASKS_FOR_FILLER: Final = re.compile(
    r"lorem|ipsum|placeholder|dummy|filler|template|mock-?up|fill[- ]in|boilerplate", re.IGNORECASE
)
_FENCE: Final = b"```"
_COPIED: Final = 20
_ALIKE: Final = 8  # characters by which an answer that begins as its question is suspected
_SENTENCE_END: Final = frozenset(".!?\"')]}*`。！？”’」）…:;|>_~")
_OPEN: Final = frozenset("([{（「《")
_COMMAS: Final = frozenset(",，、")
_OPEN_ENDS: Final = _OPEN | _COMMAS
_OPEN_WORDS: Final = frozenset(("and", "or", "but", "the", "an", "because", "und", "oder", "et"))
_LEAST_WORDS: Final = 10
_LONG_WORDS: Final = 40
_LONG_CHARACTERS: Final = 80
_HAN: Final = ("\u4e00", "\u9fff")
_LIST_ITEM: Final = re.compile(r"\s*(?:[-*+•#>|]|\(?\w{1,3}[.):]\s)|\s{4}|\t")
_CODE: Final = re.compile(r"[;{}]\s*$|^\s*(?:def|class|import|return|function|SELECT|<)\b", re.M)


def _has_no_prompt(view: RowView) -> bool:
    return not view.prompt.strip() and not isinstance(view.item, Document | Labelled)


def _may_have_no_prompt(glance: Glance) -> list[int]:
    return [row for row, view in enumerate(glance.views) if not view.prompt.strip()]


def _is_placeholder(view: RowView) -> bool:
    answer, marks = view.answer, residue(view.whole)
    if len(answer) <= _LONGEST_NOTHING and answer.strip().lower() in _NOTHING:
        return is_taught(view)
    if (b"TODO" in marks or b"FIXME" in marks or b"XXX" in marks) and _TODO.search(answer):
        return is_taught(view)
    if (b"[" in marks or b"<" in marks) and _has_gap(answer):
        return is_taught(view) and not _ASKS_FOR_FILLER.search(view.context)
    if "ipsum" in answer and _LOREM.search(answer):
        return is_taught(view) and not _ASKS_FOR_FILLER.search(view.context)
    return False


def _may_be_placeholder(glance: Glance) -> set[int]:
    short = [row for row, said in enumerate(glance.answers) if len(said) <= _LONGEST_NOTHING]
    said = glance.saying(b"ipsum", *_GAP_BEGINNINGS)
    return {*short, *said, *glance.matching(_UNFINISHED)}


def _has_gap(answer: str) -> bool:
    return any(gap in answer for gap in _GAPS) and _TO_FILL_IN.search(answer) is not None


def _repeats_prompt(view: RowView) -> bool:
    prompt = view.prompt
    if len(prompt) < _COPIED:
        return False
    prompt = prompt.strip()
    return len(prompt) >= _COPIED and view.answer.lstrip().startswith(prompt) and is_taught(view)


def _may_repeat_prompt(glance: Glance) -> list[int]:
    return [
        row
        for row, view in enumerate(glance.views)
        if view.answer.lstrip()[:_ALIKE] == view.prompt.lstrip()[:_ALIKE]
    ]


def _is_cut(view: RowView) -> bool:
    answer = view.answer
    # Documents come in pieces, which end anywhere; there is no harm in that.
    if b"```" in residue(view.whole) and _has_open_fence(answer):
        return is_taught(view) and not isinstance(view.item, Document)
    last = answer[-1:]
    if last in _SENTENCE_END:
        return False
    answer = answer.rstrip()
    last = answer[-1:]
    if last in _SENTENCE_END or not _ends_open(answer, last):
        return False
    return is_taught(view) and not isinstance(view.item, Document)


def _may_be_cut(glance: Glance) -> set[int]:
    ends = [row for row, said in enumerate(glance.answers) if _may_end_open(said[-1:])]
    return {*ends, *glance.saying(_FENCE)}


def _may_end_open(last: str) -> bool:
    """Return whether an answer whose last character this is, or white space, may end open."""
    if last in _SENTENCE_END:
        return False
    return "a" <= last <= "z" or last.isspace() or last in _OPEN_ENDS or _HAN[0] <= last <= _HAN[1]


def _has_open_fence(answer: str) -> bool:
    fences = sum(line.lstrip().startswith("```") for line in answer.split("\n"))
    return fences % 2 == 1 and answer.count("```") % 2 == 1


def _ends_open(answer: str, last: str) -> bool:
    """Return whether ``answer`` ends where no sentence, list, verse or program does."""
    line = answer[answer.rfind("\n") + 1 :]
    if _LIST_ITEM.match(line) or _CODE.search(answer):
        return False
    if last in _OPEN_ENDS:
        return _is_prose(line) and answer[-2:-1] not in (":", ";", "=")
    if last.islower() and last.isascii():
        if line.rpartition(" ")[2] in _OPEN_WORDS:
            return _is_prose(line)
        return _stops_in_a_long_line(line)
    if _HAN[0] <= last <= _HAN[1]:
        sentence = line.rpartition("。")[2]
        return len(line) > _LONG_CHARACTERS and "。" in line and "，" in sentence
    return False


def _is_prose(line: str) -> bool:
    return len(line.split(None, _LEAST_WORDS)) >= _LEAST_WORDS or not line[:20].isascii()


def _stops_in_a_long_line(line: str) -> bool:
    """Return whether a paragraph ends its other sentences, but not the last one."""
    if ". " not in line or len(line.split(None, _LONG_WORDS)) <= _LONG_WORDS:
        return False
    before, _, word = line.rpartition(" ")
    sentence = before.rpartition(". ")[2]
    # A source, a name or a keyword may follow the last full stop, and so may a hashtag.
    is_word = "/" not in word and "." not in word and word[:1] not in ("#", "@")
    return is_word and len(sentence.split()) >= _LEAST_WORDS // 2


EMPTY_PROMPT: Final = RowCheck(
    CheckAbout(
        id="empty-prompt",
        title="question empty",
        severity="bad",
        why="The model learns to give this answer to nothing in particular.",
        advice="Drop these rows, or find out which column holds the question.",
        source=_GUIDES,
    ),
    _has_no_prompt,
    _may_have_no_prompt,
)
PLACEHOLDER: Final = RowCheck(
    CheckAbout(
        id="placeholder",
        title="placeholder in the answer",
        severity="warning",
        why="The answer was never finished: TODO, FIXME, lorem ipsum, `[insert …]`, or nothing but "
        "N/A or dots.",
        advice="Drop these rows; keep `N/A` where it is an answer the model should give.",
        source=_GUIDES,
    ),
    _is_placeholder,
    _may_be_placeholder,
)
CUT_MID_SENTENCE: Final = RowCheck(
    CheckAbout(
        id="cut-mid-sentence",
        title="answer ends mid-sentence",
        severity="warning",
        why="The answer was cut by a length limit, and the model learns to stop there.",
        advice="Drop these rows, or generate them again with a higher limit.",
    ),
    _is_cut,
    _may_be_cut,
)
ANSWER_REPEATS_PROMPT: Final = RowCheck(
    CheckAbout(
        id="answer-repeats-prompt",
        title="answer repeats the question",
        severity="warning",
        why="The answer begins with the whole question: the model learns to echo. Often the "
        "prompt was not cut off what a model generated.",
        advice="Take the question out of the answer, or drop these rows.",
    ),
    _repeats_prompt,
    _may_repeat_prompt,
)
CHECKS: Final = (EMPTY_PROMPT, PLACEHOLDER, CUT_MID_SENTENCE, ANSWER_REPEATS_PROMPT)
