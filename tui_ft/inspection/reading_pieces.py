"""What one piece of a data set says: rows found, their checks, and what duplicates are found by.

Runs in several processes at once, for every row of the largest files: what is done here has to be
cheap. Nothing here knows of other pieces.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import xxhash

from tui_ft.data import BadLine, Detection, RowProblem, convert
from tui_ft.data.files.json_rows import parse_line
from tui_ft.data.files.rows import BOM
from tui_ft.data.row_view import RowView, view_of
from tui_ft.inspection.glance import JoinedRows, found_in_rows
from tui_ft.inspection.source import Piece

MOST_LABELS: Final = 200
MOST_SCHEMAS: Final = 50
_EXAMPLES: Final = 20
_64_BITS: Final = (1 << 64) - 1
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
    lines = piece.read().split(b"\n")
    if not lines[-1]:
        lines.pop()  # what follows the last line's end is no line
    findings.line_count = len(lines)
    known = range(1, len(lines) + 1) if piece.lines is None else piece.lines
    offset = piece.start
    for first in range(0, len(lines), _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        batch = _Batch()
        offset = _read_lines(findings, batch, offset, lines[some], known[some], detection)
        _take_in(findings, batch)
    return findings


@dataclass(slots=True)
class _Batch:
    """Rows that are looked at together, and where in the piece they stand.

    Attributes:
        schemas: of each row the names of its columns.
        views: the usable rows.
        positions: where these stand.
        unusable: where the others stand, their lines, and what is wrong with them.
    """

    schemas: list[tuple[str, ...]] = field(default_factory=list)
    views: list[RowView] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    unusable: list[tuple[int, bytes, RowProblem]] = field(default_factory=list)


def _read_lines(
    findings: PieceFindings,
    batch: _Batch,
    offset: int,
    lines: Sequence[bytes],
    numbers: Sequence[int],
    detection: Detection,
) -> int:
    """Read ``lines``, the first of which begins at ``offset``; return where the last ends."""
    for number, raw in zip(numbers, lines, strict=True):
        here, offset = offset, offset + len(raw) + 1
        line = raw.strip()
        if here == 0:
            line = line.removeprefix(BOM).strip()
        if not line:
            continue
        row = parse_line(number, line)
        if isinstance(row, BadLine):
            findings.broken_count += 1
            if len(findings.broken) < _EXAMPLES:
                findings.broken.append(row)
            continue
        position = len(findings.lines)
        findings.offsets.append(here)
        findings.lines.append(number)
        batch.schemas.append(tuple(row.values))
        item = convert(row, detection)
        if isinstance(item, RowProblem):
            batch.unusable.append((position, line, item))
        else:
            batch.views.append(view_of(item))
            batch.positions.append(position)
    return offset


def _take_in(findings: PieceFindings, batch: _Batch) -> None:
    """Take in what is found by looking at many rows together, which is far faster."""
    for column in (findings.rows, findings.prompts, findings.words):
        column.frombytes(bytes(column.itemsize * len(batch.schemas)))
    findings.unusable.extend(bytes(len(batch.schemas)))
    for names, count in Counter(batch.schemas).items():
        if names in findings.schemas or len(findings.schemas) < MOST_SCHEMAS:
            findings.schemas[names] += count
    for position, line, problem in batch.unusable:
        findings.rows[position] = xxhash.xxh3_64_intdigest(line)
        findings.unusable[position] = 1
        _mark(findings, f"unusable-{problem.kind}", [position])
        if len(findings.problems) < _EXAMPLES:
            findings.problems.append((position, problem))
    if batch.views:
        _check(findings, batch)


def _check(findings: PieceFindings, batch: _Batch) -> None:
    glance = JoinedRows(batch.views)
    for name, rows in found_in_rows(glance).items():
        _mark(findings, name, [batch.positions[row] for row in rows])
    looked_at = zip(batch.positions, batch.views, glance.encoded, glance.words, strict=True)
    for position, view, encoded, words in looked_at:
        findings.rows[position] = row_hash(view, encoded)
        findings.prompts[position] = text_hash(view.context) if view.context else 0
        findings.words[position] = words
    _count(findings, batch.views)


def row_hash(view: RowView, whole: bytes) -> int:
    """Return a 64-bit hash of all that a row says, but for how it is laid out.

    Args:
        view: the row; what stands before its answer begins all that it says.
        whole: `view.whole` in UTF-8.
    """
    seed = _seed(view.roles, view.label) + len(view.context)
    return xxhash.xxh3_64_intdigest(whole, seed & _64_BITS)


@lru_cache
def _seed(roles: tuple[str, ...], label: str | None) -> int:
    return text_hash(f"{'|'.join(roles)}\0{label}")


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
