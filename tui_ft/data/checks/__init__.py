"""The checks of data quality that see one row at a time."""

from __future__ import annotations

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


def by_id(id: str) -> RowCheck:
    """Return the check of that name.

    Raises:
        KeyError: there is none.
    """
    return _BY_ID[id]


__all__ = ["ROW_CHECKS", "CheckAbout", "Remedy", "RowCheck", "Severity", "by_id"]
