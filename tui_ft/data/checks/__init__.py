"""The checks of data quality that see one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tui_ft.data.checks import (
    answers,
    characters,
    dialogue,
    markup,
    mojibake,
    pairs,
    privacy,
    refusals,
    words,
)
from tui_ft.data.checks.check import CheckAbout, Remedy, RowCheck, Severity
from tui_ft.data.checks.glance import Glance
from tui_ft.data.row_view import RowView

ROW_CHECKS: Final[tuple[RowCheck, ...]] = (
    *answers.CHECKS,
    *words.CHECKS,
    *refusals.CHECKS,
    *mojibake.CHECKS,
    *characters.CHECKS,
    *markup.CHECKS,
    *privacy.CHECKS,
    *dialogue.CHECKS,
    *pairs.CHECKS,
)
"""All of them. Repairs are made in this order: mojibake before the control characters it holds."""

_BY_ID: Final = {check.about.id: check for check in ROW_CHECKS}


def found_in_rows(views: Sequence[RowView]) -> dict[str, list[int]]:
    """Return what all checks find in many rows: for each that finds something the rows' places.

    The same as asking every check of every row, but faster where most rows are clean.
    """
    if not views:
        return {}
    glance = Glance(views)
    suspects = {
        (row, number) for number, check in enumerate(ROW_CHECKS) for row in check.suspects(glance)
    }
    found: dict[str, list[int]] = {}
    # Row after row, for what several checks ask of one is kept (`clues`).
    for row, number in sorted(suspects):
        check = ROW_CHECKS[number]
        if check.found_in(views[row]):
            found.setdefault(check.about.id, []).append(row)
    return found


def by_id(id: str) -> RowCheck:
    """Return the check of that name.

    Raises:
        KeyError: there is none.
    """
    return _BY_ID[id]


__all__ = ["ROW_CHECKS", "CheckAbout", "Remedy", "RowCheck", "Severity", "by_id", "found_in_rows"]
