"""What is wrong with a data set as tokens of one model, at a `max_length`."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tui_ft.survey.set_checks import SET_CHECKS
from tui_ft.survey.summary import Finding
from tui_ft.survey.tokens import TokenSummary

_MOST_POSITIONS: Final = 1_000_000

TOKEN_CHECKS: Final = frozenset(
    (
        *("template-refuses", "no-token-learned", "turn-never-ends", "double-bos"),
        "cut-by-max-length",
    )
)

# The column of each, and which of its values have it, at a max_length. A row without tokens has the
# length 0; the others are then told by the length.
_COLUMNS: Final[dict[str, tuple[str, Callable[[int, int], bool]]]] = {
    "cut-by-max-length": ("lengths", lambda value, limit: value > limit),
    "no-token-learned": ("prompts", lambda value, limit: value >= limit),
    "turn-never-ends": ("ends", lambda value, limit: value > limit),
}


def token_findings(tokens: TokenSummary, max_length: int) -> tuple[Finding, ...]:
    """Return what cutting at ``max_length`` and the template do to rows, worst first."""
    cut = tokens.at(max_length)
    detail = f"at max_length {max_length:,}"
    counted = (
        ("template-refuses", sum(refused.count for refused in tokens.refused), _reasons(tokens)),
        ("no-token-learned", cut.unlearned, detail),
        ("turn-never-ends", cut.unended, detail),
        ("double-bos", tokens.double_bos, ""),
        ("cut-by-max-length", cut.rows_cut, detail),
    )
    return tuple(_finding(name, count, said, tokens) for name, count, said in counted if count)


def token_positions(folder: Path, tokens: TokenSummary, check: str, max_length: int) -> array[int]:
    """Return the positions of the rows that have a finding; of some only the first few are known.

    Args:
        folder: of the tokens, with a column for each figure.
    """
    if check == "double-bos":
        return array("Q", tokens.double_bos_examples)
    if check == "template-refuses":
        return array("Q", (at for refused in tokens.refused for at in refused.examples))
    name, has_it = _COLUMNS[check]
    lengths, values = _column(folder, "lengths"), _column(folder, name)
    found = array("Q")
    for position, (length, value) in enumerate(zip(lengths, values, strict=False)):
        if length and has_it(value, max_length):
            found.append(position)
            if len(found) >= _MOST_POSITIONS:
                break
    return found


def _column(folder: Path, name: str) -> array[int]:
    values = array("I")
    values.frombytes((folder / f"{name}.u32").read_bytes())
    return values


def _reasons(tokens: TokenSummary) -> str:
    return "; ".join(refused.reason for refused in tokens.refused[:2])


def _finding(name: str, count: int, detail: str, tokens: TokenSummary) -> Finding:
    about = SET_CHECKS[name]
    return Finding(
        id=about.id,
        title=about.title,
        severity=about.severity,
        why=about.why,
        advice=about.advice,
        source=about.source,
        count=count,
        share=count / max(1, tokens.rows_total),
        detail=detail,
        remedy="none",
    )
