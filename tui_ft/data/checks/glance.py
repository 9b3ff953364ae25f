"""Many rows looked at together, to tell which of them a check need look at at all.

A row check takes a microsecond or two to pass a row, and there are thirty of them. So rows are
joined, a thousand at a time, into one run of bytes, and C code goes over that once: it leaves of
most rows a handful of marks, in which each check finds its suspects. Only these are then looked at
one by one. A check may suspect too many rows, never too few: what is found does not depend on this.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

from tui_ft.data.row_view import RowView

_BORDER: Final = b"\xff"
"""Stands between two rows: no text has this byte in UTF-8."""

_STOPS: Final = b".\n"
# As `clues.residue`, but for what ends sentences and lines, and the border.
_DULL: Final = bytes(
    set((string.ascii_lowercase + " \t\r,;:'\"()!?").encode()) | set(range(0x80, 0xFF))
)
_NOT_STOPS: Final = bytes(set(range(0xFF)) - set(_STOPS))
_NOT_DIGITS: Final = bytes(set(range(0xFF)) - set(string.digits.encode()))
_LETTERS_AND_DIGITS: Final = (string.ascii_letters + string.digits).encode()


class Glance:
    """What is seen of many rows at once. Rows are called by their position in ``views``."""

    def __init__(self, views: Sequence[RowView]) -> None:
        self.views = views
        self.answers = [view.answer for view in views]
        self.encoded = [view.whole.encode("utf-8", "surrogatepass") for view in views]
        self.joined = _BORDER.join(self.encoded)
        kept = self.joined.translate(None, _DULL)
        self._marks = kept.translate(None, _STOPS)
        self._stops = kept.translate(None, _NOT_STOPS)

    @cached_property
    def marks(self) -> list[bytes]:
        """Of each row its ASCII capitals, digits, symbols and control characters."""
        return self._marks.split(_BORDER)

    @cached_property
    def stops(self) -> list[int]:
        """Of each row how many full stops and newlines it has."""
        return [len(stops) for stops in self._stops.split(_BORDER)]

    @cached_property
    def digits(self) -> list[int]:
        """Of each row how many ASCII digits it has."""
        return [len(row) for row in self._marks.translate(None, _NOT_DIGITS).split(_BORDER)]

    @cached_property
    def with_symbols(self) -> list[int]:
        """The rows with other marks than letters and digits; of prose not many."""
        symbols = self._marks.translate(None, _LETTERS_AND_DIGITS).split(_BORDER)
        return [row for row, found in enumerate(symbols) if found]

    @cached_property
    def foreign(self) -> list[int]:
        """The rows that are not ASCII."""
        return [row for row, view in enumerate(self.views) if not view.whole.isascii()]

    @cached_property
    def by_roles(self) -> dict[tuple[str, ...], list[int]]:
        """The rows of each succession of roles."""
        found: dict[tuple[str, ...], list[int]] = {}
        for row, view in enumerate(self.views):
            found.setdefault(view.roles, []).append(row)
        return found

    @cached_property
    def pairs(self) -> list[int]:
        """The rows with a worse answer."""
        return [row for row, view in enumerate(self.views) if view.rejected is not None]

    def marked(self, *marks: bytes) -> list[int]:
        """Return the rows with one of ``marks``, single symbols."""
        return [
            row for row in self.with_symbols if any([mark in self.marks[row] for mark in marks])
        ]

    def matching(self, pattern: re.Pattern[bytes]) -> list[int]:
        """Return the rows whose marks have ``pattern``, which matches no border."""
        hits = [match.start() for match in pattern.finditer(self._marks)]
        return _rows_at(hits, self._mark_ends) if hits else []

    def with_one_of(self, texts: Iterable[bytes]) -> list[int]:
        """Return the rows that say one of ``texts``, given in UTF-8."""
        hits = [at for text in texts for at in _places(text, self.joined)]
        return _rows_at(hits, self._ends) if hits else []

    def foreign_with_one_of(self, texts: Iterable[bytes]) -> list[int]:
        """Return the rows that are not ASCII and say one of ``texts``, given in UTF-8."""
        rows = self.foreign
        if not rows:
            return []
        joined = _BORDER.join([self.encoded[row] for row in rows])
        hits = [at for text in texts for at in _places(text, joined)]
        return [rows[at] for at in _rows_at(hits, _ends([self.encoded[row] for row in rows]))]

    @cached_property
    def _ends(self) -> list[int]:
        return _ends(self.encoded)

    @cached_property
    def _mark_ends(self) -> list[int]:
        return _ends(self.marks)


def _ends(parts: Sequence[bytes]) -> list[int]:
    """Return where each of ``parts`` ends, with its border, once they are joined."""
    return list(accumulate([len(part) + 1 for part in parts]))


def _rows_at(places: Iterable[int], ends: list[int]) -> list[int]:
    return sorted({bisect_right(ends, place) for place in places})


def _places(text: bytes, joined: bytes) -> list[int]:
    places = []
    at = joined.find(text)
    while at >= 0:
        places.append(at)
        at = joined.find(text, at + 1)
    return places
