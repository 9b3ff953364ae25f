"""The part of a text that is its answer, after what leads to it."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from tui_ft.spec.rewards import Extract

_NUMBER: Final = re.compile(
    r"(?:(?<![\w)\]}])[-+])?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)"
)
"""A minus after a digit, a letter or a bracket is none of the number's: 10-3 ends in 3."""
_THOUSANDS: Final = re.compile(r"(?<=\d)(?:\{,\}|,?\\[,!])(?=\d{3})")
"""As LaTeX writes them: 12{,}345, 12,\\!345 and 12\\,345."""
_BOX: Final = re.compile(r"\\f?boxed\s*\{")
_HASHES: Final = "####"
_MONEY: Final = "$€£¥"
_FRACTION: Final = re.compile(
    r"([-+]?)(?:(\d{1,18})(?: |(?=\\)))?"
    r"(?:\\frac\{(-?\d{1,18})\}\{(-?\d{1,18})\}|(\d{1,18})/(\d{1,18}))"
)
"""With what is whole before it, as in 1 1/2."""
_LONGEST_EXPONENT: Final = 30
_WORD: Final = re.compile(r"[^\W\d_]{3}")
_KIND_OF_FRACTION: Final = re.compile(r"\\[dtc]frac")
_BARE_FRACTION: Final = re.compile(r"\\frac\s*(\d|\{[^{}]*\})\s*(\d|\{[^{}]*\})")
_NAMED: Final = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\{([^{}]*)\}")
_NO_VALUE: Final = re.compile(
    r"\\(?:left|right|quad|qquad|degree)(?![a-z])|\^ ?(?:\{ ?)?\\circ ?\}?"
    r"|\\[!,;: ()\[\]]|\\(?=[$%])|[$~]|(?<!\d) | (?!\d)| (?=\d{3}(?!\d))"
)
"""What LaTeX writes for the eye alone, a degree sign among it; a space between two numbers is not,
unless it is one of thousands."""


def extract(whole: str, how: Extract) -> str | None:
    """Return the part of a text that is its answer, without outer space; None if it has none."""
    match how:
        case "auto":
            return extract(whole, "after_hashes") or extract(whole, "boxed") or whole.strip()
        case "after_hashes":
            _, hashes, after = whole.rpartition(_HASHES)
            return after.strip() if hashes else None
        case "boxed":
            return _boxed(whole)
        case "last_number":
            numbers = _NUMBER.findall(_as_typed(whole))
            return numbers[-1] if numbers else None
        case "last_line":
            lines = [line.strip() for line in whole.splitlines() if line.strip()]
            return lines[-1] if lines else None
        case "whole":
            return whole.strip()


def _as_typed(said: str) -> str:
    """Return a text with its numbers as a keyboard has them: LaTeX's thousands, a true minus."""
    return _THOUSANDS.sub(",", said).replace("\N{MINUS SIGN}", "-")


def _boxed(whole: str) -> str | None:
    r"""Return what the last `\boxed{}` holds, braces in it counted; None if it is not closed."""
    begins = [found.end() for found in _BOX.finditer(whole)]
    if not begins:
        return None
    depth = 1
    for place in range(begins[-1], len(whole)):
        depth += {"{": 1, "}": -1}.get(whole[place], 0)
        if not depth:
            return whole[begins[-1] : place].strip()
    return None


def value_of(said: str) -> Decimal | Fraction | None:
    r"""Return the number that ``said`` is, also as a fraction: 0.5, 1/2 and \frac{1}{2} are one.

    A fraction behind a number is added to it: 1 1/2 and 1\frac{1}{2} are 1.5.
    """
    number = as_number(said)
    if number is not None:
        # A fraction of 1e999999 would be written out.
        return Fraction(number) if abs(number.adjusted()) < _LONGEST_EXPONENT else number
    found = _FRACTION.fullmatch(tidied(_as_typed(said)).rstrip("."))
    if found is None:
        return None
    sign, whole, above, below, over, under = found.groups()
    part, divisor = int(above or over), int(below or under)
    if not divisor or (whole and not 0 < part < divisor):
        return None
    return (int(whole or 0) + Fraction(part, divisor)) * (-1 if sign == "-" else 1)


def is_formula(said: str) -> bool:
    """Tell whether a text is rather a formula, in which spaces mean nothing, than words."""
    return "\\" in said or "^" in said or not _WORD.search(said)


def tidied(said: str) -> str:
    """Return a formula in one of the ways in which it can be written.

    As the benchmark MATH compares (arXiv:2103.03874, `is_equiv`): spaces, the size of brackets, the
    kind of a fraction, and what marks a word or a degree mean nothing. But unlike there a space
    between two numbers does: 12 13 is not 1213.
    """
    plain = _KIND_OF_FRACTION.sub(r"\\frac", " ".join(said.split()))
    plain = _BARE_FRACTION.sub(_with_braces, plain)
    return _NO_VALUE.sub("", _NAMED.sub(r"\1", plain))


def _with_braces(found: re.Match[str]) -> str:
    above, below = (part.strip("{}") for part in found.groups())
    return f"\\frac{{{above}}}{{{below}}}"


def as_number(said: str) -> Decimal | None:
    """Return the number that ``said`` is: without currency, percent and thousands; else None."""
    bare = _as_typed(said).strip().strip("$\\ ")
    bare = bare.strip(_MONEY).removesuffix("%").rstrip("\\.").strip()
    if not _NUMBER.fullmatch(bare):
        return None
    try:
        return Decimal(bare.replace(",", ""))
    except InvalidOperation:
        return None
