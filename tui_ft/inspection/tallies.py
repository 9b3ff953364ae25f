"""What all rows are like together: lengths, turns, labels, columns; and what is odd about that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeVar

from tui_ft import text
from tui_ft.data.counts import PERCENTILES, percentiles, total_of
from tui_ft.inspection.languages import UNKNOWN
from tui_ft.inspection.reading_pieces import MOST_LABELS, MOST_SCHEMAS, PieceFindings
from tui_ft.survey.summary import Numbers

_Name = TypeVar("_Name", str, tuple[str, ...])

_NAMES_SHOWN: Final = 8
_VARIES_MUCH: Final = 2.0
_SOME_LANGUAGE: Final = 0.02
_UNBALANCED: Final = 10


class OfTheWhole(NamedTuple):
    """A check of all rows together that found something: how many it concerns, and what is odd."""

    check: str
    rows: int
    detail: str


class Tallies:
    """Counts over all rows, piece after piece."""

    def __init__(self) -> None:
        self.rows = 0
        self.unusable = 0
        self.languages: dict[str, float] = {}
        self._words: Counter[int] = Counter()
        self._turns: Counter[int] = Counter()
        self._labels: Counter[str] = Counter()
        self._schemas: Counter[tuple[str, ...]] = Counter()
        self._answers = [0, 0, 0]

    def add(self, found: PieceFindings) -> None:
        """Take in a piece."""
        self.rows += len(found.lines)
        self.unusable += found.unusable.count(1)
        self._words.update(found.words)
        self._turns.update(found.turns)
        _add_capped(self._labels, found.labels, MOST_LABELS)
        _add_capped(self._schemas, found.schemas, MOST_SCHEMAS)
        for place, value in enumerate(found.answer_sums):
            self._answers[place] += value

    def numbers(self) -> Numbers:
        """Return what rows are like."""
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

    def odd(self) -> Iterator[OfTheWhole]:
        """Yield the checks of all rows together that find something."""
        if len(self._schemas) > 1:
            yield self._mixed_columns()
        if self._variation() > _VARIES_MUCH:
            detail = f"standard deviation / mean {self._variation():.1f}"
            yield OfTheWhole("length-varies", self._answers[0], detail)
        if _is_unbalanced(self._labels):
            yield self._unbalanced_labels()
        mixed = {
            name: share
            for name, share in self.languages.items()
            if share >= _SOME_LANGUAGE and name != UNKNOWN
        }
        if len(mixed) > 1:
            rest = sum(mixed.values()) - max(mixed.values())
            detail = ", ".join(f"{name} {text.percent(share)}" for name, share in mixed.items())
            yield OfTheWhole("language-mix", round(rest * self.rows), detail)

    def _mixed_columns(self) -> OfTheWhole:
        ordered = self._schemas.most_common()
        rarest = ", ".join(text.one_line(name, 40) for name in ordered[-1][0][:_NAMES_SHOWN])
        return OfTheWhole(
            "mixed-columns",
            sum(count for _, count in ordered[1:]),
            f"{len(ordered)} layouts; the rarest: {rarest}",
        )

    def _unbalanced_labels(self) -> OfTheWhole:
        shares = self._labels.most_common()
        total = sum(self._labels.values())
        ends = (shares[0], shares[-1])
        shown = [f"`{text.one_line(name, 30)}` {text.percent(n / total)}" for name, n in ends]
        return OfTheWhole("unbalanced-labels", total, ", ".join(shown))

    def _variation(self) -> float:
        """Return the answers' standard deviation over their mean, in characters."""
        count, total, squares = self._answers
        if not total:
            return 0.0
        mean = total / count
        return math.sqrt(max(0.0, squares / count - mean * mean)) / mean


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
