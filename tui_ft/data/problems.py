"""What is wrong with a data set, or with one row of it, as data: where, what, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProblemKind = Literal["empty-answer", "empty-prompt", "unknown-role", "no-answer", "bad-shape"]
"""What is wrong with a row, so that such rows can be counted."""


class DataError(Exception):
    """Nothing can be read, or nothing can be made of it; the message says what to do."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no row.

    Attributes:
        line: where it stands, as `Row.line`.
        reason: why it holds none.
        excerpt: some of it, harmless to show.
        source: in a folder, the file's name relative to it; empty for a single file.
    """

    line: int
    reason: str
    excerpt: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that was read but cannot be learned from. `line` counts from 1."""

    line: int
    reason: str
    kind: ProblemKind = "bad-shape"

    def __str__(self) -> str:
        """Return `line 12: the answer is empty`."""
        return f"line {self.line}: {self.reason}"
