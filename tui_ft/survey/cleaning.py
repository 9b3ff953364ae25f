"""A data set without what was found in it: a new file beside the old one, and what was done."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import orjson

from tui_ft import paths, text
from tui_ft.data.checks import ROW_CHECKS
from tui_ft.data.problems import DataError
from tui_ft.survey.folder import found_positions
from tui_ft.survey.new_files import Tell, new_file, refuse_in_place, told
from tui_ft.survey.rows import SurveyedRows
from tui_ft.survey.set_checks import LOOKED_FOR_BY, SET_REMEDIES
from tui_ft.survey.summary import Finding, Summary

Remedy = Literal["drop", "repair"]
"""What is done about a finding."""

_LINES_NAMED: Final = 100_000
_EXAMPLES: Final = 3
_BEFORE: Final = 30
_EXCERPT: Final = 200
_NO_ROW: Final = "broken-line"  # holds none, and so is left out anyway
_REPAIRS: Final = {c.about.id: c.repaired for c in ROW_CHECKS if c.repaired is not None}
_DROPPABLE: Final = frozenset(
    (
        *(name for name, remedy in SET_REMEDIES.items() if remedy == "drop"),
        *(check.about.id for check in ROW_CHECKS),
    )
)


class Done(msgspec.Struct, frozen=True):
    """What was done for one finding: the lines (of the old file) that it was done to."""

    check: str
    done: str
    count: int
    lines: tuple[int, ...]


class CleaningReport(msgspec.Struct, frozen=True):
    """What cleaning did, or would do.

    Attributes:
        source: the data set that was read; it is as it was.
        output: the new file; None when nothing was written.
        rows: readable rows before.
        kept: rows in the new file.
        repaired: rows of those that were changed.
        examples: a few rows before and after their repair, as JSON text.
    """

    source: str
    output: str | None
    rows: int
    kept: int
    repaired: int
    done: tuple[Done, ...]
    examples: tuple[tuple[str, str], ...] = ()


class Changes(msgspec.Struct, frozen=True):
    """What a plan would do to how many rows."""

    rows: int
    dropped: int
    repaired: int

    @property
    def kept(self) -> int:
        """Rows of the new file."""
        return self.rows - self.dropped


class Example(msgspec.Struct, frozen=True):
    """What happens to a row.

    Attributes:
        line: of the old file.
        before: the row, or the text of it that is repaired; characters that nobody can see are
            written as escapes.
        after: that text repaired; None where the row is dropped.
    """

    line: int
    before: str
    after: str | None


class Plan:
    """What is to be dropped and repaired.

    Args:
        summary: of the finished survey in ``folder``.
        drop: findings whose rows go.
        repair: findings whose rows are mended. A row that is dropped is not.

    Raises:
        DataError: there is no such finding, or it cannot be repaired.
    """

    def __init__(
        self, folder: Path, summary: Summary, drop: Iterable[str], repair: Iterable[str]
    ) -> None:
        self._folder, self._summary = folder, summary
        self._drop = {name: self._positions(name, _DROPPABLE) for name in drop}
        self._repair = {name: self._positions(name, _REPAIRS) for name in repair}

    def _positions(self, name: str, able: Iterable[str]) -> array[int]:
        if name not in able:
            known = ", ".join(sorted(able))
            raise DataError(f"`{name}` is nothing that can be done something about; known: {known}")
        stage, option = LOOKED_FOR_BY.get(name, (None, ""))
        if stage is not None and stage not in self._summary.looked_for:
            raise DataError(f"`{name}` was not looked for; ask for it with {option}")
        return found_positions(self._folder, name, most=self._summary.rows)

    def changes(self) -> Changes:
        """Return how many rows go and how many are repaired, without reading any."""
        dropped = self._all(self._drop)
        repaired = self._all(self._repair) - dropped
        return Changes(self._summary.rows, len(dropped), len(repaired))

    @staticmethod
    def _all(chosen: dict[str, array[int]]) -> set[int]:
        return {position for positions in chosen.values() for position in positions}

    def examples(self, name: str, most: int = _EXAMPLES) -> tuple[Example, ...]:
        """Return what happens to the first few rows that have the finding ``name``.

        Raises:
            OSError: the data set or the survey has gone.
        """
        drops = name in self._drop
        positions = (self._drop if drops else self._repair).get(name, array("Q"))
        found: list[Example] = []
        with SurveyedRows(Path(self._summary.rows_file), self._folder) as surveyed:
            for position in positions[:most]:
                row = surveyed.at(position)
                if row is None:
                    continue
                if drops:
                    found.append(Example(row.line, _shown(row.data.decode(errors="replace")), None))
                else:
                    found.append(Example(row.line, *_difference(row.data, name)))
        return tuple(found)

    def carry_out(
        self, output: Path | None, *, replace: bool = False, tell: Tell | None = None
    ) -> CleaningReport:
        """Write the rows that stay to ``output``, in their order; with None only say what would be.

        A row that is not repaired keeps its bytes. The same plan gives the same file.

        Args:
            output: the new file; a report is written beside it.
            replace: a file of that name.
            tell: called with the rows done.

        Raises:
            DataError: the file is there already, or is the data set itself; or no row stays.
            OSError: it cannot be written.
        """
        if output is None:
            return self._walk(lambda _: None, None, tell)
        refuse_in_place(self._summary, output)
        with new_file(output, replace=replace) as file:
            report = self._walk(lambda line: file.write(line + b"\n"), output, tell)
            if not report.kept:
                raise DataError(f"none of {report.rows:,} rows would stay: drop less")
        paths.write_atomically(
            output.with_name(f"{output.name}.report.json"), msgspec.json.encode(report)
        )
        return report

    def _walk(
        self, write: Callable[[bytes], object], output: Path | None, tell: Tell | None
    ) -> CleaningReport:
        dropped = self._all(self._drop)
        mended: dict[int, list[str]] = {}
        for name, positions in self._repair.items():
            for position in positions:
                mended.setdefault(position, []).append(name)
        lines: dict[int, int] = {}
        kept = repaired = 0
        examples: list[tuple[str, str]] = []
        with SurveyedRows(Path(self._summary.rows_file), self._folder) as surveyed:
            for row in told(surveyed, tell):
                if row.position in dropped or row.position in mended:
                    lines[row.position] = row.line
                if row.position in dropped:
                    continue
                data = row.data
                if row.position in mended:
                    data = _repaired(row.data, mended[row.position])
                    repaired += data != row.data
                    if data != row.data and len(examples) < _EXAMPLES:
                        examples.append((row.data.decode(errors="replace"), data.decode()))
                write(data)
                kept += 1
        return CleaningReport(
            source=self._summary.path,
            output=None if output is None else str(output),
            rows=self._summary.rows,
            kept=kept,
            repaired=repaired,
            done=(
                *_done("dropped", self._drop, lines),
                *_done("repaired", self._repair, lines),
            ),
            examples=tuple(examples),
        )


def remedies_of(finding: Finding) -> tuple[Remedy, ...]:
    """Return what can be done about a finding, besides nothing."""
    remedies: list[Remedy] = []
    if finding.id in _DROPPABLE and finding.id != _NO_ROW:
        remedies.append("drop")
    if finding.id in _REPAIRS:
        remedies.append("repair")
    return tuple(remedies)


def usual_remedies(summary: Summary) -> tuple[list[str], list[str]]:
    """Return what is dropped and repaired when nobody chooses: what is plainly wrong, no more.

    Findings of the severity `bad`, exact duplicates, and whatever can be repaired.
    """
    drop = [
        finding.id
        for finding in summary.findings
        if finding.remedy == "drop"
        and (finding.severity == "bad" or finding.id == "exact-duplicate")
        and finding.id in _DROPPABLE
        and finding.id != _NO_ROW
    ]
    return drop, [finding.id for finding in summary.findings if finding.id in _REPAIRS]


def _done(what: str, chosen: dict[str, array[int]], lines: dict[int, int]) -> list[Done]:
    return [
        Done(name, what, len(positions), tuple(lines[p] for p in positions[:_LINES_NAMED]))
        for name, positions in chosen.items()
    ]


def _repaired(data: bytes, checks: Sequence[str]) -> bytes:
    value = orjson.loads(data)
    for name in checks:
        value = _mapped(value, _REPAIRS[name])
    return orjson.dumps(value)


def _mapped(value: Any, repair: Callable[[str], str]) -> Any:  # noqa: ANN401 - any JSON
    """Return ``value`` with every text in it repaired; names of columns stay."""
    if isinstance(value, str):
        return repair(value)
    if isinstance(value, list):
        return [_mapped(part, repair) for part in value]
    if isinstance(value, dict):
        return {name: _mapped(part, repair) for name, part in value.items()}
    return value


def _difference(data: bytes, check: str) -> tuple[str, str]:
    """Return the first text that a repair changes, before and after, where they differ."""
    before = orjson.loads(data)
    after = _mapped(before, _REPAIRS[check])
    pairs = zip(_texts(before), _texts(after), strict=True)
    old, new = next(((old, new) for old, new in pairs if old != new), ("", ""))
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
    start = max(0, same - _BEFORE)
    return _shown(old[start:]), _shown(new[start:])


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _shown(value: str) -> str:
    """Return a beginning on one line, with an escape for each character that nobody can see."""
    visible = (
        character
        if character == " " or unicodedata.category(character)[0] in "LMNPS"
        else ascii(character)[1:-1]
        for character in value[: _EXCERPT + 1]
    )
    return text.one_line("".join(visible), _EXCERPT)
