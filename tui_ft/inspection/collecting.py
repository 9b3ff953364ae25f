"""What the pieces add up to: columns on disk, counts in memory, a summary whenever one is asked."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from tui_ft import text
from tui_ft.data import BadLine, Detection, objectives_of
from tui_ft.data.checks import ROW_CHECKS
from tui_ft.data.counts import PERCENTILES, percentiles, total_of
from tui_ft.inspection.columns import ColumnWriter
from tui_ft.inspection.languages import UNKNOWN
from tui_ft.inspection.reading_pieces import MOST_LABELS, MOST_SCHEMAS, PieceFindings
from tui_ft.inspection.source import Piece
from tui_ft.survey.set_checks import SET_CHECKS, SET_REMEDIES
from tui_ft.survey.summary import Broken, Finding, Layout, Numbers, Stage, Summary

_Name = TypeVar("_Name", str, tuple[str, ...])

_EXAMPLES: Final = 20
_BROKEN_SHOWN: Final = 100
_NAMES_SHOWN: Final = 8
_VARIES_MUCH: Final = 2.0
_SOME_LANGUAGE: Final = 0.02
_UNBALANCED: Final = 10


class Collector:
    """Takes pieces in, in their order.

    Args:
        path: the data set.
        folder: takes the columns: `offsets.u64`, `lines.u64`, `rows.u64`, `prompts.u64`,
            `words.u32`, `unusable.u8`, and `found/<check>.u64` with positions of rows.
    """

    def __init__(self, path: Path, folder: Path, total_bytes: int) -> None:
        self.detection: Detection | None = None
        self.rows_file = path
        self.languages: dict[str, float] = {}
        self._path = path
        self._columns = ColumnWriter(folder)
        self._total = total_bytes
        self._done = 0
        self._rows = 0
        self._unusable = 0
        self._lines = 0
        self._words: Counter[int] = Counter()
        self._turns: Counter[int] = Counter()
        self._labels: Counter[str] = Counter()
        self._schemas: Counter[tuple[str, ...]] = Counter()
        self._answers = [0, 0, 0]
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[int]] = {}
        self._groups: dict[str, int] = {}
        self._details: dict[str, str] = {}
        self._broken: list[Broken] = []
        self._broken_count = 0
        self._reasons: dict[str, str] = {}

    def add(self, piece: Piece, found: PieceFindings, in_place: bool) -> None:
        """Take in what a piece holds.

        Args:
            in_place: the rows file is the data set itself, so that its lines are counted here.
        """
        first_line = self._lines if in_place else 0
        self.rows_file = piece.file
        self._append_columns(found, first_line)
        for name, positions in found.found.items():
            self.add_found(name, array("Q", (self._rows + position for position in positions)))
        for bad in found.broken:
            self._add_broken(bad, first_line)
        for _, problem in found.problems:
            self._reasons.setdefault(problem.kind, problem.reason)
        self._broken_count += found.broken_count
        self._unusable += sum(found.unusable)
        self._words.update(found.words)
        self._turns.update(found.turns)
        _add_capped(self._labels, found.labels, MOST_LABELS)
        _add_capped(self._schemas, found.schemas, MOST_SCHEMAS)
        for place, value in enumerate(found.answer_sums):
            self._answers[place] += value
        self._rows += len(found.lines)
        self._lines += found.line_count
        self._done += piece.bytes_read

    def add_found(
        self, name: str, positions: array[int], groups: int | None = None, detail: str = ""
    ) -> None:
        """Take in the rows, by position, in which a check found something."""
        self._columns.append(f"found/{name}.u64", positions)
        self._counts[name] += len(positions)
        examples = self._examples.setdefault(name, [])
        examples.extend(positions[: _EXAMPLES - len(examples)])
        if groups is not None:
            self._groups[name] = groups
        if detail:
            self._details[name] = detail

    def flush(self) -> None:
        """Let readers see the columns up to here."""
        self._columns.flush()

    def close(self) -> None:
        """End."""
        self._columns.close()

    def summary(self, stage: Stage, seconds: float) -> Summary:
        """Return what is known now."""
        return Summary(
            path=str(self._path),
            stage=stage,
            bytes_done=self._total if stage == "done" else min(self._done, self._total),
            bytes_total=self._total,
            rows=self._rows,
            usable=self._rows - self._unusable,
            broken_lines=self._broken_count,
            rows_file=str(self.rows_file),
            layout=None if self.detection is None else _layout(self.detection),
            findings=self._findings(),
            broken=tuple(self._broken),
            numbers=self._numbers(),
            seconds=seconds,
        )

    def _append_columns(self, found: PieceFindings, first_line: int) -> None:
        lines = array("Q", (first_line + n for n in found.lines)) if first_line else found.lines
        self._columns.append("offsets.u64", found.offsets)
        self._columns.append("lines.u64", lines)
        self._columns.append("rows.u64", found.rows)
        self._columns.append("prompts.u64", found.prompts)
        self._columns.append("words.u32", found.words)
        self._columns.append("unusable.u8", found.unusable)

    def _add_broken(self, bad: BadLine, first_line: int) -> None:
        if len(self._broken) < _BROKEN_SHOWN:
            self._broken.append(Broken(first_line + bad.line, bad.reason, bad.excerpt, bad.source))

    def _findings(self) -> tuple[Finding, ...]:
        """Return what was found, worst first, then most frequent."""
        everything = [*SET_CHECKS.values(), *(check.about for check in ROW_CHECKS)]
        remedies = {check.about.id: check.remedy for check in ROW_CHECKS}
        counts = {**self._counts, **self._of_the_whole()}
        found = [
            Finding(
                id=about.id,
                title=about.title,
                severity=about.severity,
                why=about.why,
                advice=about.advice,
                source=about.source,
                count=counts[about.id],
                share=counts[about.id] / max(1, self._rows + self._broken_count),
                examples=tuple(self._examples.get(about.id, ())),
                groups=self._groups.get(about.id),
                detail=self._detail(about.id),
                remedy=remedies.get(about.id, SET_REMEDIES.get(about.id, "none")),
            )
            for about in everything
            if counts.get(about.id)
        ]
        order = {"bad": 0, "warning": 1, "note": 2}
        return tuple(sorted(found, key=lambda finding: (order[finding.severity], -finding.count)))

    def _detail(self, name: str) -> str:
        if name == "broken-line" and self._broken:
            return f"line {self._broken[0].line}: {self._broken[0].reason}"
        if name.startswith("unusable-"):
            return self._reasons.get(name.removeprefix("unusable-"), "")
        return self._details.get(name, "")

    def _of_the_whole(self) -> dict[str, int]:
        """Return the checks that look at all rows together: how many rows they concern."""
        found = {"broken-line": self._broken_count}
        if len(self._schemas) > 1:
            ordered = self._schemas.most_common()
            found["mixed-columns"] = sum(count for _, count in ordered[1:])
            self._details["mixed-columns"] = f"{len(ordered)} layouts; the rarest: " + ", ".join(
                text.one_line(name, 40) for name in ordered[-1][0][:_NAMES_SHOWN]
            )
        if self._variation() > _VARIES_MUCH:
            found["length-varies"] = self._answers[0]
            self._details["length-varies"] = f"standard deviation / mean {self._variation():.1f}"
        if _is_unbalanced(self._labels):
            found["unbalanced-labels"] = sum(self._labels.values())
            shares = self._labels.most_common()
            total = sum(self._labels.values())
            self._details["unbalanced-labels"] = (
                f"`{text.one_line(shares[0][0], 30)}` {text.percent(shares[0][1] / total)}, "
                f"`{text.one_line(shares[-1][0], 30)}` {text.percent(shares[-1][1] / total)}"
            )
        mixed = {
            name: share
            for name, share in self.languages.items()
            if share >= _SOME_LANGUAGE and name != UNKNOWN
        }
        if len(mixed) > 1:
            rest = sum(mixed.values()) - max(mixed.values())
            found["language-mix"] = round(rest * self._rows)
            self._details["language-mix"] = ", ".join(
                f"{name} {text.percent(share)}" for name, share in mixed.items()
            )
        return found

    def _variation(self) -> float:
        """Return the answers' standard deviation over their mean, in characters."""
        count, total, squares = self._answers
        if not total:
            return 0.0
        mean = total / count
        return math.sqrt(max(0.0, squares / count - mean * mean)) / mean

    def _numbers(self) -> Numbers:
        named = {
            ", ".join(text.one_line(name, 40) for name in names[:_NAMES_SHOWN]): count
            for names, count in self._schemas.most_common(_NAMES_SHOWN)
        }
        return Numbers(
            words=total_of(self._words),
            words_at=dict(zip(PERCENTILES, percentiles(self._words), strict=True)),
            answer_variation=self._variation(),
            turns=dict(sorted(self._turns.items())),
            labels=dict(self._labels.most_common()),
            languages=self.languages,
            columns=named,
        )


def _add_capped(counter: Counter[_Name], more: Mapping[_Name, int], most: int) -> None:
    for name, count in more.items():
        if name in counter or len(counter) < most:
            counter[name] += count


def _is_unbalanced(labels: Counter[str]) -> bool:
    """Return whether the commonest of a few classes is 10 times the rarest."""
    if not 2 <= len(labels) < MOST_LABELS:  # noqa: PLR2004 - one class is another matter
        return False
    ordered = labels.most_common()
    return ordered[0][1] >= _UNBALANCED * ordered[-1][1]


def _layout(detection: Detection) -> Layout:
    return Layout(
        format=detection.format,
        style=detection.style,
        reason=detection.reason,
        columns=dict(detection.columns),
        confidence=detection.confidence,
        others=detection.others,
        objectives=objectives_of(detection.format),
    )
