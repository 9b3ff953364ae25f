"""UTF-8 that was read as Windows-1252 or Latin-1, and characters that could not be read at all.

Only sequences that no language writes are taken for mojibake, so that it can be mended without
asking: `Ã©` is, `É»` at the end of a French quotation is not.
"""

from __future__ import annotations

import re
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.glance import Glance, characters
from tui_ft.data.row_view import RowView


def _as_read(code: int) -> str:
    """Return what a byte becomes when it is read as Windows-1252, in which five are unassigned."""
    try:
        return bytes((code,)).decode("cp1252")
    except UnicodeDecodeError:
        return chr(code)


_BYTES: Final = {_as_read(code): code for code in range(0x80, 0x100)} | {
    chr(code): code for code in range(0x80, 0x100)
}


def _one_of(first: int, last: int) -> str:
    """Return a class of the characters that bytes from ``first`` to ``last`` are read as."""
    found = sorted(char for char, code in _BYTES.items() if first <= code <= last)
    return f"[{re.escape(''.join(found))}]"


_REST: Final = _one_of(0x80, 0xBF)
# After a capital these may close a quotation or a sentence: `IRMÃ”`, `PÂ…`.
_CLOSING: Final = "\u2019\u201d\u2026\u2013\u2014\u00a0\u00bb\u203a\u2018\u201c\u00ab"
_LATIN: Final = (
    rf"(?:\u00c3(?![{_CLOSING}]){_REST}|(?<![A-Z\u00c0-\u00de])\u00c3[{_CLOSING}]"
    rf"|\u00c2(?![{_CLOSING}]){_one_of(0xA0, 0xBF)}|(?<![A-Z\u00c0-\u00de])\u00c2[\u00a0\u00bb\u00ab])"  # noqa: E501
)
_PUNCTUATION: Final = (
    rf"\u00e2(?:[\u20ac\x80]{_REST}|[\u201a\x82]\u00ac|[\u201e\x84]\u00a2|[\u2020\x86]{_REST}"
    rf"|[\u02c6\x88]{_REST}|[\u2030\x89]{_REST}|\u0153{_REST})"
)
_EMOJI: Final = rf"\u00f0[\u0178\x9f]{_REST}{_REST}"
_MARKS: Final = "\u00ef\u00bb\u00bf"
_CYRILLIC: Final = rf"(?:[\u00d0\u00d1]{_REST}){{3,}}"
_HAN: Final = rf"(?:[\u00e4-\u00e9]{_REST}{_REST}){{2,}}"
_MOJIBAKE: Final = re.compile("|".join((_LATIN, _PUNCTUATION, _EMOJI, _MARKS, _CYRILLIC, _HAN)))
_LEADS: Final = ("\u00c3", "\u00c2", "\u00e2", "\u00f0", "\u00d0", "\u00d1", "\u00ef\u00bb")
# What all sequences begin with, and the first byte of what follows, which is not ASCII either.
_SEQUENCE_BYTES: Final = (*characters(0xC2, 0xF0), (0xC2, 0xE2))
_HAN_LEADS: Final = ("\u00e4", "\u00e5", "\u00e6", "\u00e7", "\u00e8", "\u00e9")


def repair_mojibake(text: str) -> str:
    """Return ``text`` with mojibake read as the UTF-8 it was; twice where it was spoilt twice."""
    while (mended := _MOJIBAKE.sub(_mended, text)) != text:
        text = mended
    return text


def _mended(match: re.Match[str]) -> str:
    data = bytes(_BYTES[character] for character in match[0])
    try:
        return data.decode()
    except UnicodeDecodeError:
        return match[0]


def _is_mojibake(view: RowView) -> bool:
    text = view.whole
    if text.isascii() or not any(lead in text for lead in (*_LEADS, *_HAN_LEADS)):
        return False
    return any(_mended(match) != match[0] for match in _MOJIBAKE.finditer(text))


def _may_be_mojibake(glance: Glance) -> list[int]:
    return glance.with_sequence(_SEQUENCE_BYTES)


def _has_lost_characters(view: RowView) -> bool:
    return not view.whole.isascii() and "\ufffd" in view.whole


def _may_have_lost_characters(glance: Glance) -> list[int]:
    return glance.with_sequence(characters(0xFFFD, 0xFFFD))


MOJIBAKE: Final = RowCheck(
    CheckAbout(
        id="mojibake",
        title="wrongly decoded text",
        severity="bad",
        why="UTF-8 was read as Windows-1252 (`Ã©` for `é`): the model learns to write it so.",
        advice="Repair: the sequences that are certain are decoded again.",
    ),
    _is_mojibake,
    _may_be_mojibake,
    remedy="repair",
    repaired=repair_mojibake,
)
LOST_CHARACTERS: Final = RowCheck(
    CheckAbout(
        id="lost-characters",
        title="lost characters (U+FFFD)",
        severity="warning",
        why="U+FFFD stands where a character could not be decoded; the model learns to write it.",
        advice="Decode the source with the right encoding; what is lost here cannot be repaired.",
    ),
    _has_lost_characters,
    _may_have_lost_characters,
)
CHECKS: Final = (MOJIBAKE, LOST_CHARACTERS)
