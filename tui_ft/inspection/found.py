"""What checks found, until now, and how it is told to people."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Final

from tui_ft.data import BadLine
from tui_ft.data.checks import ROW_CHECKS
from tui_ft.inspection.reading_pieces import PieceFindings
from tui_ft.inspection.tallies import OfTheWhole
from tui_ft.survey.set_checks import SET_CHECKS, SET_REMEDIES
from tui_ft.survey.summary import Broken, Finding

_EXAMPLES: Final = 20
_BROKEN_SHOWN: Final = 100
_ORDER: Final = {"bad": 0, "warning": 1, "note": 2}


class Found:
    """Of each check how many rows have it, and the first of them; of broken lines the same."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []
        self.broken_count = 0
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[int]] = {}
        self._groups: dict[str, int] = {}
        self._details: dict[str, str] = {}

    def add(
        self, check: str, positions: array[int], groups: int | None = None, detail: str = ""
    ) -> None:
        """Take in the rows, by position, in which a check found something."""
        self._counts[check] += len(positions)
        examples = self._examples.setdefault(check, [])
        examples.extend(positions[: _EXAMPLES - len(examples)])
        if groups is not None:
            self._groups[check] = groups
        if detail:
            self._details[check] = detail

    def add_faults(self, found: PieceFindings, first_line: int) -> None:
        """Take in broken lines, and why rows are unusable.

        Args:
            found: what a piece holds.
            first_line: lines before it.
        """
        shown = found.broken[: _BROKEN_SHOWN - len(self.broken)]
        self.broken.extend([_shown(bad, first_line) for bad in shown])
        self.broken_count += found.broken_count
        for _, problem in found.problems:
            self._details.setdefault(f"unusable-{problem.kind}", problem.reason)

    def findings(self, rows: int, odd: Iterable[OfTheWhole]) -> tuple[Finding, ...]:
        """Return what was found, worst first, then most frequent.

        Args:
            rows: how many there are, broken lines aside.
            odd: what is found in all rows together.
        """
        counts = {**self._counts, "broken-line": self.broken_count}
        details = dict(self._details)
        if self.broken:
            details["broken-line"] = f"line {self.broken[0].line}: {self.broken[0].reason}"
        for check, count, detail in odd:
            counts[check], details[check] = count, detail
        remedies = SET_REMEDIES | {check.about.id: check.remedy for check in ROW_CHECKS}
        found = [
            Finding(
                id=about.id,
                title=about.title,
                severity=about.severity,
                why=about.why,
                advice=about.advice,
                source=about.source,
                count=counts[about.id],
                share=counts[about.id] / max(1, rows + self.broken_count),
                examples=tuple(self._examples.get(about.id, ())),
                groups=self._groups.get(about.id),
                detail=details.get(about.id, ""),
                remedy=remedies.get(about.id, "none"),
            )
            for about in (*SET_CHECKS.values(), *(check.about for check in ROW_CHECKS))
            if counts.get(about.id)
        ]
        return tuple(sorted(found, key=lambda finding: (_ORDER[finding.severity], -finding.count)))


def _shown(bad: BadLine, first_line: int) -> Broken:
    return Broken(first_line + bad.line, bad.reason, bad.excerpt, bad.source)
