"""What was found out about a data set, as it is written down and read again.

Rows are called by their position (from 0) among the rows that could be read; `line` is where a row
stands in its file (from 1).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tui_ft.data.checks.check import Severity

Stage = Literal[
    "opening",
    "reading",
    "duplicates",
    "overlap",
    "near duplicates",
    "embedding",
    "semantic duplicates",
    "personal data",
    "toxicity",
    "done",
    "failed",
]


class Layout(msgspec.Struct, frozen=True):
    """The format found; see `tui_ft.data.Detection`."""

    format: str
    style: str
    reason: str
    columns: dict[str, str]
    confidence: float
    others: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """Something found in rows.

    Attributes:
        id: the check's name.
        title: what is said of a row that has it.
        count: rows that have it; lines, for what could not be read.
        share: of all rows.
        examples: positions of the first few, or lines where no row could be read.
        groups: how many groups they fall into, for duplicates.
        detail: figures of this data set, in words.
        remedy: what cleaning can do about it: `drop`, `repair`, `none`.
    """

    id: str
    title: str
    severity: Severity
    why: str
    advice: str
    source: str = ""
    count: int = 0
    share: float = 0.0
    examples: tuple[int, ...] = ()
    groups: int | None = None
    detail: str = ""
    remedy: str = "drop"


class Broken(msgspec.Struct, frozen=True):
    """A line that holds no row, or a row that teaches nothing."""

    line: int
    reason: str
    excerpt: str = ""
    source: str = ""


class Numbers(msgspec.Struct, frozen=True):
    """Figures over all usable rows. Words are separated by white space.

    Attributes:
        words: all of them.
        words_at: percentile -> words in a row: 50, 90, 95, 99, 100.
        answer_variation: standard deviation over mean of the answers' characters.
        turns: number of messages -> rows.
        labels: class -> rows.
        languages: language (ISO 639-1) -> share of the rows sampled.
        columns: column names -> rows that have just these.
    """

    words: int = 0
    words_at: dict[int, int] = {}
    answer_variation: float = 0.0
    turns: dict[int, int] = {}
    labels: dict[str, int] = {}
    languages: dict[str, float] = {}
    columns: dict[str, int] = {}


class Summary(msgspec.Struct, frozen=True):
    """A data set as far as it has been read.

    Attributes:
        stage: what is being done.
        problem: why nothing could be read, for people.
        bytes_done: bytes of `bytes_total` that have been read.
        rows: rows that could be read.
        usable: those that have something to teach.
        broken_lines: lines that hold no row.
        rows_file: where the rows lie, one JSON object a line: the file itself, or a copy.
        seconds: how long it has taken.
        stage_share: how much of the stage is done, where that is known.
        looked_for: the stages asked for that are done: what they did not find is not there.
    """

    path: str
    stage: Stage
    problem: str | None = None
    bytes_done: int = 0
    bytes_total: int = 0
    rows: int = 0
    usable: int = 0
    broken_lines: int = 0
    rows_file: str = ""
    layout: Layout | None = None
    findings: tuple[Finding, ...] = ()
    broken: tuple[Broken, ...] = ()
    numbers: Numbers = Numbers()
    seconds: float = 0.0
    stage_share: float | None = None
    looked_for: tuple[Stage, ...] = ()

    @property
    def share(self) -> float | None:
        """How much of the stage is done; None where that cannot be told."""
        if self.stage == "reading" and self.bytes_done:
            return self.bytes_done / max(1, self.bytes_total)
        return self.stage_share

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.stage in ("done", "failed")
