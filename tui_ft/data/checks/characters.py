"""Characters that nobody sees: controls, zero-width and bidirectional ones, tags, terminal escapes.

A tokenizer sees them all. Some are left by editors and converters, some hide instructions.
"""

from __future__ import annotations

import re
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import has_unprintable, residue
from tui_ft.data.checks.glance import Glance, characters
from tui_ft.data.row_view import RowView

_C1_START: Final = 0x80
_C1_END: Final = 0xA0
_NO_CONTROLS: Final = bytes(set(range(0x20, 0x7F)) | {0x1B})
_C1: Final = re.compile("[\x80-\x9f]")
_CONTROL_MARKS: Final = re.compile(rb"[\x00-\x1a\x1c-\x1f\x7f]")
_ESCAPE: Final = b"\x1b"
# All characters below.
_INVISIBLE_BYTES: Final = tuple(
    characters(first, last)
    for first, last in (
        *((0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E)),
        *((0x2060, 0x2064), (0x2066, 0x2069), (0xFEFF, 0xFEFF)),
        *((0xE0000, 0xE003F), (0xE0040, 0xE007F)),
    )
)


def _control_repairs() -> dict[int, str | None]:
    """Return what becomes of control characters.

    A page break parts lines. U+0080 to U+009F are Windows-1252 read as Latin-1: browsers show
    them so (HTML, numeric character references). Escapes are left to `escape-sequences`.
    """
    removed = {*range(0x20), 0x7F, *range(_C1_START, _C1_END)} - {0x09, 0x0A, 0x0D, 0x1B}
    repairs: dict[int, str | None] = dict.fromkeys(removed)
    repairs |= {0x0B: "\n", 0x0C: "\n"}
    for code in range(_C1_START, _C1_END):
        shown = bytes((code,)).decode("cp1252", "ignore")
        repairs[code] = shown or None
    return repairs


_CONTROLS: Final = _control_repairs()

_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e900-\U0001eeff]"
)
_OVERRIDE: Final = "\u202d\u202e"
_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Scripts whose letters join or part by ZWJ and ZWNJ: Arabic to Mongolian, and those of India.
_JOINING: Final = (
    "\u0600-\u061b\u061d-\u08ff\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u18af\ua8e0-\ua8ff"
    "\uaa60-\uaa7f\ufb50-\ufdff\ufe70-\ufefc\U00011000-\U00011fff"
)
_EMOJI: Final = "\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u1aaf"
_SCOTLAND: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_HIDDEN: Final = (
    f"(?P<flag>{_SCOTLAND})|[\u00ad\u180e\u2060-\u2064\ufeff\U000e0000-\U000e007f]"
    f"|(?<![{_UNSPACED}])\u200b(?![{_UNSPACED}])"
    f"|(?<![{_JOINING}{_EMOJI}])\u200d(?![{_JOINING}])|(?<![{_JOINING}])\u200d(?![{_JOINING}{_EMOJI}])"
    f"|(?<![{_JOINING}])\u200c(?![{_JOINING}])"
)
_INVISIBLE: Final = re.compile(f"{_HIDDEN}|[{_BIDI}]")
# Marks, embeddings and isolates set numbers and Latin words right in Arabic and Hebrew; overrides
# are for deceiving.
_INVISIBLE_AMID_ARABIC: Final = re.compile(f"{_HIDDEN}|[{_OVERRIDE}]")

_ESCAPE_SEQUENCE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[PX^_][^\x1b\n]*\x1b\\|[()][0-9A-B]"  # noqa: E501
    r"|[78=>cM])?"
)


def repair_controls(text: str) -> str:
    """Return ``text`` without control characters but tab, newline, carriage return and escape."""
    return text if text.isascii() and text.isprintable() else text.translate(_CONTROLS)


def repair_invisible(text: str) -> str:
    """Return ``text`` without characters that show nothing and that its script does not need."""
    return text if text.isascii() else _invisible_of(text).sub(lambda m: m["flag"] or "", text)


def repair_escapes(text: str) -> str:
    """Return ``text`` without the sequences that colour a terminal or move its cursor."""
    return _ESCAPE_SEQUENCE.sub("", text)


def _invisible_of(text: str) -> re.Pattern[str]:
    return _INVISIBLE_AMID_ARABIC if _RIGHT_TO_LEFT.search(text) else _INVISIBLE


def _has_controls(view: RowView) -> bool:
    text = view.whole
    if residue(text).translate(None, _NO_CONTROLS):
        return True
    return not text.isascii() and has_unprintable(text) and _C1.search(text) is not None


def _may_have_controls(glance: Glance) -> set[int]:
    latin = glance.with_sequence(characters(_C1_START, _C1_END - 1))
    return {*latin, *glance.matching(_CONTROL_MARKS)}


def _has_invisible(view: RowView) -> bool:
    text = view.whole
    if text.isascii() or not has_unprintable(text):
        return False
    return any(match["flag"] is None for match in _invisible_of(text).finditer(text))


def _may_have_invisible(glance: Glance) -> list[int]:
    return glance.with_sequence(*_INVISIBLE_BYTES)


def _has_escapes(view: RowView) -> bool:
    return _ESCAPE in residue(view.whole)


def _may_have_escapes(glance: Glance) -> list[int]:
    return glance.saying(_ESCAPE)


CONTROL_CHARACTERS: Final = RowCheck(
    CheckAbout(
        id="control-characters",
        title="control characters",
        severity="warning",
        why="Control characters become tokens the model learns to write; they come from binary "
        "files and from Windows-1252 read as Latin-1.",
        advice="Repair: they are removed, U+0080 to U+009F become the Windows-1252 characters "
        "meant, page breaks become newlines.",
    ),
    _has_controls,
    _may_have_controls,
    remedy="repair",
    repaired=repair_controls,
)
INVISIBLE_CHARACTERS: Final = RowCheck(
    CheckAbout(
        id="invisible-characters",
        title="invisible characters",
        severity="warning",
        why="Zero-width, bidirectional and tag characters split words into other tokens, make "
        "duplicates look different and can hide instructions.",
        advice="Repair: they are removed, but not where Arabic, Hebrew, Persian, Indic or Thai "
        "text and emoji need them.",
        source="Boucher et al. 2021, Trojan Source (CVE-2021-42574)",
    ),
    _has_invisible,
    _may_have_invisible,
    remedy="repair",
    repaired=repair_invisible,
)
ESCAPE_SEQUENCES: Final = RowCheck(
    CheckAbout(
        id="escape-sequences",
        title="terminal escape sequences",
        severity="warning",
        why="Colours of a copied terminal: the model learns to write them, and shown raw they "
        "drive the reader's terminal.",
        advice="Repair: the sequences are removed.",
    ),
    _has_escapes,
    _may_have_escapes,
    remedy="repair",
    repaired=repair_escapes,
)
CHECKS: Final = (CONTROL_CHARACTERS, INVISIBLE_CHARACTERS, ESCAPE_SEQUENCES)
