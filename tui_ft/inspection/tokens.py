"""A surveyed data set as tokens of one model, counted row by row through the trainer's own mask.

Rows are counted without their masks (`tui_ft.data.chat.token_counts`), which is what makes this
nearly as fast as the tokenizer. One row in 128 is rendered by its template and masked: should what
was
counted differ once, all rows of the piece are counted anew, by their masks.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import msgspec

from tui_ft import paths
from tui_ft.data import DataError
from tui_ft.data.chat.loss_mask import MaskedRow, mask_each
from tui_ft.data.chat.token_counts import NotAsMaskedError, RowCounts, count_rows, counts_of
from tui_ft.data.chat.tokenizer import LocalChatTokenizer, load_chat_tokenizer
from tui_ft.data.items import AnyItem, taught
from tui_ft.inspection.columns import ColumnWriter
from tui_ft.inspection.pool import in_order, processes
from tui_ft.inspection.rows_again import RowsAgain
from tui_ft.spec.chat_templates import template_file
from tui_ft.survey.folder import detection_of, read_summary, read_token_summary
from tui_ft.survey.request import Request, TokenRequest
from tui_ft.survey.tokens import NEVER, Refused, TokenSummary
from tui_ft.vocabulary import LossOn

_ROWS_AT_ONCE: Final = 2_000
_FIRST_ROWS: Final = 200
_TOGETHER: Final = 128
_PUBLISH_SECONDS: Final = 0.5
_MOST_REASONS: Final = 20
_EXAMPLES: Final = 20
_FEW_ROWS: Final = 2_000

Span = tuple[int, int]
"""Positions of rows, the last left out."""


@dataclass(slots=True)
class _Piece:
    """Tokens of some rows; a column has `NEVER` where a row has no such thing."""

    lengths: array[int] = field(default_factory=lambda: array("I"))
    prompts: array[int] = field(default_factory=lambda: array("I"))
    answers: array[int] = field(default_factory=lambda: array("I"))
    ends: array[int] = field(default_factory=lambda: array("I"))
    double_bos: list[int] = field(default_factory=list)
    unlike_inference: int = 0
    straddling: int = 0
    refused: dict[str, list[int]] = field(default_factory=dict)


def count_tokens(request: Request, survey: Path) -> None:
    """Count the tokens of a finished survey into a folder of their own, unless that is done."""
    tokens, folder = request.tokens, request.token_folder()
    summary = read_summary(survey)
    detection = detection_of(summary) if summary is not None else None
    if tokens is None or folder is None or summary is None or detection is None:
        return
    before = read_token_summary(folder)
    if summary.stage != "done" or (before is not None and before.stage == "done"):
        return
    paths.make_private_dir(folder)
    template = template_file(tokens.chat_template) if tokens.chat_template else None
    try:
        tokenizer = load_chat_tokenizer(tokens.folder(), template)
    except DataError as error:
        _write(folder, TokenSummary(tokens.model, "failed", str(error)))
        return
    rows = RowsAgain(Path(summary.rows_file), survey, detection)
    _Counter(tokens, folder, len(rows)).run(rows, tokenizer)


class _Counter:
    """Adds pieces up and publishes where it stands."""

    def __init__(self, asked: TokenRequest, folder: Path, rows: int) -> None:
        self._asked = asked
        self._folder = folder
        self._total = rows
        self._began = time.monotonic()
        self._counts = {name: Counter[int]() for name in ("lengths", "prompts", "answers", "ends")}
        self._double_bos: list[int] = []
        self._double_bos_count = 0
        self._unlike = 0
        self._straddling = 0
        self._refused: dict[str, tuple[int, list[int]]] = {}

    def run(self, rows: RowsAgain, tokenizer: LocalChatTokenizer) -> None:
        """Count all rows."""
        spans = [(0, min(_FIRST_ROWS, self._total))] if self._total else []
        spans += [
            (n, min(self._total, n + _ROWS_AT_ONCE))
            for n in range(_FIRST_ROWS, self._total, _ROWS_AT_ONCE)
        ]
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # processes take its place
        published = 0.0
        given = rows, tokenizer, self._asked.loss_on
        with (
            ColumnWriter(self._folder) as writer,
            processes(self._total < _FEW_ROWS, _look_at, *given) as pool,
        ):
            for (start, _), piece in in_order(pool, _count_span, iter(spans)):
                self._add(start, piece, writer)
                if time.monotonic() - published > _PUBLISH_SECONDS:
                    self._publish("counting")
                    published = time.monotonic()
        self._publish("done")

    def _add(self, start: int, piece: _Piece, writer: ColumnWriter) -> None:
        columns = {
            "lengths": piece.lengths,
            "prompts": piece.prompts,
            "answers": piece.answers,
            "ends": piece.ends,
        }
        for name, values in columns.items():
            writer.append(f"{name}.u32", values)
            counted = zip(values, piece.lengths, strict=True)
            self._counts[name].update(value for value, length in counted if length)
        self._double_bos_count += len(piece.double_bos)
        self._double_bos += [start + at for at in piece.double_bos][:_EXAMPLES]
        self._unlike += piece.unlike_inference
        self._straddling += piece.straddling
        for reason, positions in piece.refused.items():
            known = reason in self._refused or len(self._refused) < _MOST_REASONS
            count, examples = self._refused.get(reason if known else "other reasons", (0, []))
            examples += [start + at for at in positions][: _EXAMPLES - len(examples)]
            self._refused[reason if known else "other reasons"] = (
                count + len(positions),
                examples,
            )

    def _publish(self, stage: Literal["counting", "done"]) -> None:
        counts = self._counts
        _write(
            self._folder,
            TokenSummary(
                model=self._asked.model,
                stage=stage,
                rows=sum(counts["lengths"].values()),
                rows_total=self._total,
                lengths=dict(counts["lengths"]),
                prompts={at: n for at, n in counts["prompts"].items() if at != NEVER},
                answers=dict(counts["answers"]),
                first_learned=dict(counts["prompts"]),
                first_end=dict(counts["ends"]),
                double_bos=self._double_bos_count,
                double_bos_examples=tuple(self._double_bos[:_EXAMPLES]),
                unlike_inference=self._unlike,
                straddling=self._straddling,
                refused=tuple(
                    Refused(reason, count, tuple(examples))
                    for reason, (count, examples) in self._refused.items()
                ),
                seconds=time.monotonic() - self._began,
            ),
        )


def _write(folder: Path, summary: TokenSummary) -> None:
    paths.make_private_dir(folder)
    paths.write_atomically(folder / "summary.json", msgspec.json.encode(summary))


class _Work:
    """What the tasks of a process look at."""

    rows: RowsAgain
    tokenizer: LocalChatTokenizer
    loss_on: LossOn


def _look_at(rows: RowsAgain, tokenizer: LocalChatTokenizer, loss_on: LossOn) -> None:
    _Work.rows, _Work.tokenizer, _Work.loss_on = rows, tokenizer, loss_on


def _count_span(span: Span) -> _Piece:
    try:
        return _counted(span, trust=True)
    except NotAsMaskedError:
        return _counted(span, trust=False)


def _counted(span: Span, *, trust: bool) -> _Piece:
    piece = _Piece()
    for first in range(*span, _TOGETHER):
        items = list(_Work.rows.items(first, min(first + _TOGETHER, span[1])))
        known = _counted_together(items) if trust else [None] * len(items)
        for at, (item, counts) in enumerate(zip(items, known, strict=True), first - span[0]):
            _take(piece, at, () if item is None else counts or _by_masks(item))
    return piece


def _counted_together(items: Sequence[AnyItem | None]) -> list[Sequence[RowCounts] | None]:
    """Return the figures of each row, of a pair both sides'; None where only masks can tell."""
    parts = [() if item is None else taught(item) for item in items]
    flat = [part for of_one in parts for part in of_one]
    counts = iter(count_rows(flat, _Work.tokenizer, loss_on=_Work.loss_on))
    rows = [list(islice(counts, len(of_one))) for of_one in parts]
    known = [[count for count in row if count is not None] for row in rows]
    return [some if len(some) == len(row) else None for some, row in zip(known, rows, strict=True)]


def _by_masks(item: AnyItem) -> Sequence[RowCounts | str]:
    """Return the figures of a row, of a pair both sides', or why it has none."""
    masks = mask_each(item, _Work.tokenizer, loss_on=_Work.loss_on)
    return [counts_of(mask) if isinstance(mask, MaskedRow) else mask for mask in masks]


def _take(piece: _Piece, at: int, found: Sequence[RowCounts | str]) -> None:
    """Take in a row: of a pair the first side's figures, and the longer one's length."""
    fault = next((counts for counts in found if isinstance(counts, str)), None)
    rows = [counts for counts in found if isinstance(counts, RowCounts)]
    if fault is not None or not rows:
        for values in (piece.lengths, piece.answers):
            values.append(0)
        for values in (piece.prompts, piece.ends):
            values.append(NEVER)
        if fault is not None:
            piece.refused.setdefault(fault, []).append(at)
        return
    first = rows[0]
    piece.lengths.append(max([row.length for row in rows]))
    piece.prompts.append(NEVER if first.first_learned is None else first.first_learned)
    piece.answers.append(first.learned)
    piece.ends.append(first.first_end or NEVER)
    if any([row.double_bos for row in rows]):
        piece.double_bos.append(at)
    piece.unlike_inference += not all([row.as_generated for row in rows])
    piece.straddling += any([row.straddling for row in rows])
