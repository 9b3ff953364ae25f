"""Many rows looked at together, to tell which of them a check need look at at all.

A row check takes a microsecond or two to pass a row, and there are thirty of them. So rows are
joined, some hundred at a time, into one run of bytes, and what checks look for leaves its traces
there, which C code finds in all rows at once. Only the rows with such a trace, the suspects, are
then looked at one by one. A check may suspect too many rows, never too few: what is found does not
depend on this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from tui_ft.data.row_view import RowView

ByteRange = tuple[int, int]
"""The first and the last of some bytes."""


def characters(first: int, last: int) -> tuple[ByteRange, ...]:
    """Return the bytes in UTF-8 of characters between two code points.

    Args:
        first: the first code point.
        last: the last; its UTF-8 differs in the last byte only.
    """
    return tuple(zip(chr(first).encode(), chr(last).encode(), strict=True))


class Glance(Protocol):
    """What can be asked of many rows at once. Rows are called by their position in ``views``."""

    @property
    def views(self) -> Sequence[RowView]:
        """The rows."""

    @property
    def answers(self) -> Sequence[str]:
        """Of each row its last answer."""

    @property
    def digits(self) -> Sequence[int]:
        """Of each row how many ASCII digits it has."""

    @property
    def foreign(self) -> Sequence[int]:
        """The rows that are not ASCII."""

    @property
    def by_roles(self) -> dict[tuple[str, ...], list[int]]:
        """The rows of each succession of roles."""

    @property
    def pairs(self) -> Sequence[int]:
        """The rows with a worse answer."""

    def saying(self, *texts: bytes) -> list[int]:
        """Return the rows that say one of ``texts``, given in UTF-8."""

    def foreign_saying(self, *texts: bytes) -> list[int]:
        """Return the rows that are not ASCII and say one of ``texts``, given in UTF-8."""

    def with_sequence(self, *sequences: Sequence[ByteRange]) -> list[int]:
        """Return the rows that are not ASCII and have, in UTF-8, bytes of one of ``sequences``.

        At least one range of each sequence is a single byte.
        """

    def matching(self, pattern: re.Pattern[bytes]) -> list[int]:
        """Return the rows whose marks have ``pattern``, which matches no byte from 0x80 on.

        A row's marks are its ASCII capitals, digits, symbols and control characters, but for what
        all prose has: space, tab, newline, carriage return, and `.,;:'"()!?`.
        """

    def marks_of(self, row: int) -> bytes:
        """Return the marks of a row."""

    def with_digits_together(self, least: int) -> list[int]:
        """Return the rows among whose marks so many digits and hyphens follow each other."""

    def with_code(self) -> list[int]:
        """Return the rows in which two capitals stand right before two digits, all ASCII."""

    def with_few_words(self, most: int) -> list[int]:
        """Return the rows whose answers have ``most`` words or fewer, as `str.split` parts them."""

    def with_many_words(self, least: int) -> list[int]:
        """Return the rows that may have ``least`` words or more, also of scripts without spaces."""

    def with_many_numbers(self) -> list[int]:
        """Return the rows in whose answers more words may be numbers than not."""

    def repeating(self) -> list[int]:
        """Return the rows in which three sentences or lines, one after the other, may be the same.

        Told by how they end; all rows that are not ASCII are among them.
        """
