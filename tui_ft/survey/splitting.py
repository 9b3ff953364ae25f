"""A data set in two files: one to train on, one to examine with. The same seed, the same bytes."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from tui_ft.data import DataError, Row, RowProblem, convert
from tui_ft.data.row_view import view_of
from tui_ft.data.split import held_out
from tui_ft.survey.folder import detection_of
from tui_ft.survey.new_files import Tell, new_file, refuse_in_place, told
from tui_ft.survey.rows import SurveyedRows
from tui_ft.survey.summary import Summary

By = Literal["row", "group", "label"]
_UNLABELLED: Final = "\0"


class SplitReport(msgspec.Struct, frozen=True):
    """Which file holds how many rows, and in how many groups or classes they were."""

    train: str
    eval: str
    train_rows: int
    eval_rows: int
    by: By
    parts: int
    seed: int


@dataclass(frozen=True, slots=True)
class Division:
    """Which rows are held out, by position, and in how many groups or classes all of them are."""

    held: frozenset[int]
    rows: int
    parts: int


def share_said(said: str, rows: int) -> float:
    """Return the share of ``rows`` that is meant by `5 %`, `0.05` or a number of rows: `200`.

    Raises:
        DataError: it is none, or would leave one side empty.
    """
    number = said.strip().removesuffix("%").strip().replace(",", "")
    try:
        value = float(number)
    except ValueError:
        raise DataError(f"`{said.strip()}` is no share (5 %, 0.05) and no number of rows") from None
    if "%" in said:
        value /= 100
    elif value >= 1:
        value /= max(1, rows)
    if not 0 < value < 1:
        raise DataError(f"`{said.strip()}` of {rows:,} rows would leave one of the files empty")
    return value


def divide(
    folder: Path, summary: Summary, *, fraction: float, seed: int, by: By = "group"
) -> Division:
    """Return which rows of a surveyed data set are held out; see `split`.

    Raises:
        DataError: the rows have no labels, or groups were not looked for.
    """
    parts = _parts(folder, summary, by)
    held = _held_out(parts, summary.rows, fraction, seed, by)
    return Division(frozenset(held), summary.rows, len(set(parts)) if by != "row" else summary.rows)


def split(
    folder: Path,
    summary: Summary,
    outputs: tuple[Path, Path],
    *,
    fraction: float,
    seed: int,
    by: By = "group",
    replace: bool = False,
    tell: Tell | None = None,
) -> SplitReport:
    """Write the rows of a surveyed data set to two files, each in their order.

    Args:
        outputs: the file to train on, and the one to examine with.
        fraction: share of rows held out, above 0 and below 1.
        seed: decides which.
        by: `row` each for itself; `group`: near and exact duplicates stay on one side; `label`:
            each class is held out in the same share.
        replace: files of these names.
        tell: called with the rows done.

    Raises:
        DataError: a file is there already, the rows have no labels, or all would be held out.
        OSError: a file cannot be written.
    """
    refuse_in_place(summary, *outputs)
    division = divide(folder, summary, fraction=fraction, seed=seed, by=by)
    if len(division.held) == division.rows:
        raise DataError("no row would be left to train on: hold out fewer, or use --by row")
    kept = held = 0
    train_path, eval_path = outputs
    with (
        new_file(train_path, replace=replace) as train,
        new_file(eval_path, replace=replace) as evaluation,
        SurveyedRows(Path(summary.rows_file), folder) as surveyed,
    ):
        for row in told(surveyed, tell):
            side = row.position in division.held
            (evaluation if side else train).write(row.data + b"\n")
            held += side
            kept += not side
    return SplitReport(str(train_path), str(eval_path), kept, held, by, division.parts, seed)


def _parts(folder: Path, summary: Summary, by: By) -> list[int] | list[str]:
    """Return for each row what it belongs to."""
    if by == "row":
        return list(range(summary.rows))
    if by == "label":
        return _labels(folder, summary)
    groups = array("Q")
    try:
        groups.frombytes((folder / "group.u64").read_bytes())
    except OSError:
        raise DataError("groups of near duplicates were not looked for") from None
    return groups.tolist()


def _labels(folder: Path, summary: Summary) -> list[str]:
    detection = detection_of(summary)
    labels: list[str] = []
    with SurveyedRows(Path(summary.rows_file), folder) as surveyed:
        for found in surveyed:
            row = found.row()
            item = convert(row, detection) if isinstance(row, Row) and detection else None
            label = None
            if item is not None and not isinstance(item, RowProblem):
                label = view_of(item).label
            labels.append(_UNLABELLED if label is None else label)
    if all(label == _UNLABELLED for label in labels):
        raise DataError(f"{summary.path} has no labels to split by: split by group or by row")
    return labels


def _held_out(
    parts: list[int] | list[str], rows: int, fraction: float, seed: int, by: By
) -> set[int]:
    if by == "row":
        return set(held_out(rows, fraction, seed))
    members: dict[str, list[int]] = {}
    for position, part in enumerate(parts):
        members.setdefault(str(part), []).append(position)
    if by == "label":
        return {
            positions[at]
            for positions in members.values()
            for at in held_out(len(positions), fraction, seed)
        }
    return _whole_groups(members.items(), round(rows * fraction), seed)


def _whole_groups(members: Iterable[tuple[str, list[int]]], wanted: int, seed: int) -> set[int]:
    """Return whole groups in the order of a hash, until about ``wanted`` rows are held out.

    A group that would overshoot is passed over: a huge one shall not become the evaluation.
    """
    ranked = sorted(members, key=lambda group: _rank(seed, group[0]))
    out: set[int] = set()
    for _, positions in ranked:
        if len(out) + len(positions) <= max(1, wanted):
            out.update(positions)
    return out


def _rank(seed: int, part: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{part}".encode(), digest_size=8).digest()
