"""Whether an answer is that of the data, after what leads to it is left out."""

from __future__ import annotations

import re
import string
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from tui_ft.spec.rewards import ExactMatchReward, Extract
from tui_ft.train.rewards import Answers, Score

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Job

_NUMBER: Final = re.compile(
    r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+"
)
_BOX: Final = re.compile(r"\\f?boxed\s*\{")
_HASHES: Final = "####"
_MONEY: Final = "$€£¥"
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def make(reward: ExactMatchReward, job: Job) -> Score:
    """Return what compares answers with the data's; None where the data have none."""

    def score(answers: Answers) -> list[float | None]:
        return [
            None if reference is None else float(is_match(reward, said, reference))
            for said, reference in zip(answers.texts, answers.references, strict=True)
        ]

    return score


def is_match(reward: ExactMatchReward, said: str, reference: str) -> bool:
    """Tell whether ``said`` comes to the same as ``reference``."""
    given = extract(said, reward.extract)
    wanted = extract(reference, reward.extract_reference)
    if given is None or wanted is None:
        return False
    if reward.numbers:
        numbers = as_number(given), as_number(wanted)
        if None not in numbers:
            return numbers[0] == numbers[1]
    return _plain(reward, given) == _plain(reward, wanted)


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
            numbers = _NUMBER.findall(whole)
            return numbers[-1] if numbers else None
        case "last_line":
            lines = [line.strip() for line in whole.splitlines() if line.strip()]
            return lines[-1] if lines else None
        case "whole":
            return whole.strip()


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


def as_number(said: str) -> Decimal | None:
    """Return the number that ``said`` is: without currency, percent and thousands; else None."""
    bare = said.strip().strip("$\\ ").strip(_MONEY).removesuffix("%").rstrip("\\.").strip()
    if not _NUMBER.fullmatch(bare):
        return None
    try:
        return Decimal(bare.replace(",", ""))
    except InvalidOperation:
        return None


def _plain(reward: ExactMatchReward, said: str) -> str:
    if reward.ignore_case:
        said = said.casefold()
    if reward.ignore_punctuation:
        said = " ".join(said.translate(_NO_PUNCTUATION).split())
    return said.strip()
