"""What one piece of a data set says: rows found, their checks, and what duplicates are found by.

Runs in several processes at once, for every row of the largest files: what is done here has to be
cheap. Nothing here knows of other pieces.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import xxhash

from tui_ft.data import BadLine, Detection, Row, RowProblem, convert
from tui_ft.data.checks import found_in_rows
from tui_ft.data.items import AnyItem, Judged, Labelled
from tui_ft.data.json_rows import parse_line
from tui_ft.data.row_view import RowView, view_of
from tui_ft.data.rows import BOM
from tui_ft.inspection.source import Piece
from tui_ft.inspection.words import word_counts

MOST_LABELS: Final = 200
MOST_SCHEMAS: Final = 50
_EXAMPLES: Final = 20
_ROWS_AT_ONCE: Final = 500
"""Rows looked at together: enough to be fast, and still in the processor's cache."""


@dataclass(slots=True)
class PieceFindings:
    """What is in a piece. Positions count its readable rows from 0, lines its lines from 1.

    Attributes:
        offsets: of each readable row, in the rows file.
        lines: of each readable row.
        rows: of each readable row a hash of all that it says.
        prompts: a hash of all that stands before its last answer; 0 for none.
        words: words in each row.
        unusable: 1 where the row teaches nothing.
        found: check -> positions of the rows that have it.
        problems: of the first few unusable rows, position and reason.
        line_count: lines in the piece, blank and broken ones included.
        answer_sums: count, sum and sum of squares of the answers' characters.
    """

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lines: array[int] = field(default_factory=lambda: array("Q"))
    rows: array[int] = field(default_factory=lambda: array("Q"))
    prompts: array[int] = field(default_factory=lambda: array("Q"))
    words: array[int] = field(default_factory=lambda: array("I"))
    unusable: bytearray = field(default_factory=bytearray)
    found: dict[str, array[int]] = field(default_factory=dict)
    problems: list[tuple[int, RowProblem]] = field(default_factory=list)
    broken: list[BadLine] = field(default_factory=list)
    broken_count: int = 0
    line_count: int = 0
    turns: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    schemas: Counter[tuple[str, ...]] = field(default_factory=Counter)
    answer_sums: tuple[int, int, int] = (0, 0, 0)


def read_piece(piece: Piece, detection: Detection) -> PieceFindings:
    """Return what is in ``piece``, read as ``detection`` says."""
    findings = PieceFindings(broken=list(piece.broken), broken_count=len(piece.broken))
    offset = piece.start
    known = piece.lines
    lines = piece.read().split(b"\n")
    if not lines[-1]:
        lines.pop()  # what follows the last line's end is no line
    findings.line_count = len(lines)
    batch = _Batch()
    for number, raw in enumerate(lines, start=1):
        here, offset = offset, offset + len(raw) + 1
        line = raw.strip()
        if here == 0:
            line = line.removeprefix(BOM).strip()
        if not line:
            continue
        row = parse_line(number if known is None else known[number - 1], line)
        if isinstance(row, BadLine):
            findings.broken_count += 1
            if len(findings.broken) < _EXAMPLES:
                findings.broken.append(row)
            continue
        findings.offsets.append(here)
        _take_in(findings, batch, row, line, detection)
        if len(batch.views) >= _ROWS_AT_ONCE:
            _check(findings, batch)
            batch = _Batch()
    _check(findings, batch)
    return findings


@dataclass(slots=True)
class _Batch:
    """Usable rows that have been taken in, but not yet checked; and where they stand."""

    views: list[RowView] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


def _take_in(
    findings: PieceFindings, batch: _Batch, row: Row, line: bytes, detection: Detection
) -> None:
    position = len(findings.lines)
    findings.lines.append(row.line)
    findings.words.append(0)
    _count_schema(findings, row.values)
    item = convert(row, detection)
    if isinstance(item, RowProblem):
        findings.rows.append(xxhash.xxh3_64_intdigest(line))
        findings.prompts.append(0)
        findings.unusable.append(1)
        _mark(findings, f"unusable-{item.kind}", [position])
        if len(findings.problems) < _EXAMPLES:
            findings.problems.append((position, item))
        return
    view = view_of(item)
    findings.rows.append(row_hash(item, view))
    findings.prompts.append(text_hash(view.context) if view.context else 0)
    findings.unusable.append(0)
    batch.views.append(view)
    batch.positions.append(position)


def _check(findings: PieceFindings, batch: _Batch) -> None:
    """Take in what is found by looking at many rows together, which is far faster."""
    if not batch.views:
        return
    for name, rows in found_in_rows(batch.views).items():
        _mark(findings, name, [batch.positions[row] for row in rows])
    counts = word_counts([view.whole for view in batch.views])
    for position, count in zip(batch.positions, counts, strict=True):
        findings.words[position] = count
    _count(findings, batch.views)


def row_hash(item: AnyItem, view: RowView) -> int:
    """Return a 64-bit hash of all that a row says, but for how it is laid out."""
    judged = f"\0{view.label}" if isinstance(item, Labelled | Judged) else ""
    return text_hash(f"{'|'.join(view.roles)}\0{view.context}\0{view.whole}{judged}")


def text_hash(text: str) -> int:
    """Return 64 bits that tell texts apart: that two of 10 million agree has a chance of 3e-6."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _mark(findings: PieceFindings, name: str, positions: list[int]) -> None:
    found = findings.found.get(name)
    if found is None:
        found = findings.found[name] = array("Q")
    found.extend(positions)


def _count(findings: PieceFindings, views: list[RowView]) -> None:
    findings.turns.update([len(view.roles) for view in views])
    lengths = [len(view.answer) for view in views]
    count, total, squares = findings.answer_sums
    squares += sum([length * length for length in lengths])
    findings.answer_sums = (count + len(lengths), total + sum(lengths), squares)
    for label in [view.label for view in views if view.label is not None]:
        if label in findings.labels or len(findings.labels) < MOST_LABELS:
            findings.labels[label] += 1


def _count_schema(findings: PieceFindings, values: dict[str, Any]) -> None:
    names = tuple(values)
    if names in findings.schemas or len(findings.schemas) < MOST_SCHEMAS:
        findings.schemas[names] += 1
