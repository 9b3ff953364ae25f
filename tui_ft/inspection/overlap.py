"""Rows that are in the evaluation data too: whole, or by 13 words in a row (GPT-3, appendix C)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import xxhash

from tui_ft.data import BadLine, DataError, Detection, Row, RowProblem, convert, detect, read_rows
from tui_ft.data.row_view import RowView, view_of

_WORDS: Final = 13
_ROWS_TO_DETECT: Final = 1_000
_MOST_GRAMS: Final = 5_000_000
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Examined:
    """What the evaluation data hold, as hashes.

    Attributes:
        rows: whole rows, and their prompts.
        grams: runs of 13 words.
        partly: whether there were more runs than are kept.
    """

    rows: frozenset[int]
    grams: frozenset[int]
    partly: bool = False


def examined(path: Path, like: Detection) -> Examined:
    """Read the evaluation data.

    Raises:
        DataError: the file cannot be read, or is of no known format.
    """
    first = [row for row in islice(read_rows(path), _ROWS_TO_DETECT) if isinstance(row, Row)]
    if not first:
        raise DataError(f"{path} holds no usable row")
    detection = like if set(like.columns.values()) <= set(first[0].values) else detect(first)
    rows: set[int] = set()
    grams: set[int] = set()
    for row in read_rows(path):
        if isinstance(row, BadLine):
            continue
        item = convert(row, detection)
        if isinstance(item, RowProblem):
            continue
        view = view_of(item)
        rows.update(_keys(view))
        if len(grams) < _MOST_GRAMS:
            grams.update(_grams(view.whole))
    return Examined(frozenset(rows), frozenset(grams), len(grams) >= _MOST_GRAMS)


def overlaps(view: RowView, with_: Examined) -> tuple[bool, bool]:
    """Return whether the row or its prompt is examined whole, and whether a run of words is."""
    whole = any(key in with_.rows for key in _keys(view))
    return whole, whole or any(gram in with_.grams for gram in _grams(view.whole))


def _keys(view: RowView) -> list[int]:
    """Return the hashes by which two rows are the same: of all words, and of the prompt's."""
    texts = [view.whole] + ([view.context] if len(view.context.split()) > 3 else [])  # noqa: PLR2004
    return [xxhash.xxh3_64_intdigest(" ".join(_words(text)).encode()) for text in texts]


def _grams(text: str) -> Iterator[int]:
    words = _words(text)
    for at in range(len(words) - _WORDS + 1):
        yield xxhash.xxh3_64_intdigest(" ".join(words[at : at + _WORDS]).encode())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().encode(errors="replace").decode())
