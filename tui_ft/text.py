"""How numbers and foreign text are shown: fixed widths, units, nothing that drives the terminal.

Every figure a person sees goes through here, so that `1.2 k`, `0:14` and `9.4 GB` mean the same on
every screen and in every line the command line prints.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Final

NOT_AVAILABLE: Final = "n/a"
"""Shown where a figure could not be had. Never a false zero."""

_GIB: Final = 1 << 30
_COUNT_UNITS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTE_UNITS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_MEMORY_UNITS: Final = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_ESCAPE_SEQUENCE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|.)?",
    re.DOTALL,
)
# Bidirectional overrides and isolates can make a line read as something it is not (CVE-2021-42574).
_BIDI: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def significant(value: float, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits and no exponent where it can be avoided.

    Integers of more than ``digits`` digits keep all of them: `1,240`, never `1.24e3`.
    """
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "0"
    # Of the rounded value: 0.9996 is shown as 1.00 and not as 1.000.
    magnitude = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if magnitude < -3:  # noqa: PLR2004 - as people write learning rates: 2.00e-4
        return f"{value:.{digits - 1}e}".replace("e-0", "e-")
    decimals = max(0, digits - 1 - magnitude)
    return f"{value:,.{decimals}f}"


def count(value: float | None) -> str:
    """Return a count with a unit: 950, `1.2 k`, `18.2 k`, `1.24 G`."""
    return NOT_AVAILABLE if value is None else _scaled(value, _COUNT_UNITS, "")


def size(value: float | None) -> str:
    """Return ``value`` bytes of a file in decimal units (1 GB = 1e9 bytes), as the Hub does."""
    return NOT_AVAILABLE if value is None else _scaled(value, _BYTE_UNITS, "B")


def memory(value: float | None) -> str:
    """Return ``value`` bytes of memory in binary units (1 GiB = 2^30 bytes).

    As nvidia-smi and torch say it: a card sold as 24 GB has 24 GiB, and would have 25.8 GB.
    """
    return NOT_AVAILABLE if value is None else _scaled(value, _MEMORY_UNITS, "B")


def gibibytes(value: float | None) -> str:
    """Return ``value`` bytes of memory as a bare number of GiB with one decimal: `61.2`."""
    return NOT_AVAILABLE if value is None else f"{value / _GIB:.1f}"


def duration(seconds: float | None) -> str:
    """Return a time as `m:ss`, `h:mm:ss` or `3d 04h`: seconds go once they do not matter."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_AVAILABLE
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02d}h"
    if hours:
        return f"{hours}:{minute:02d}:{second:02d}"
    return f"{minute}:{second:02d}"


def age(seconds: float | None) -> str:
    """Return an age in one unit: `12s`, `5m`, `2h`, `3d`."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_AVAILABLE
    whole = max(0, int(seconds))
    for limit, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= limit:
            return f"{whole // limit}{unit}"
    return f"{whole}s"


def percent(fraction: float | None) -> str:
    """Return a share between 0 and 1 as a percentage: `98 %`, `0.4 %`."""
    if fraction is None or not math.isfinite(fraction):
        return NOT_AVAILABLE
    value = fraction * 100
    return f"{value:.1f} %" if 0 < abs(value) < 10 and value != round(value) else f"{value:.0f} %"  # noqa: PLR2004


def of_system(error: OSError) -> str:
    """Return what the system says against a path, in words: which one, and why."""
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def plain(text: str, *, keep_newlines: bool = False) -> str:
    """Return ``text`` with everything removed that could drive or deceive a terminal.

    Escape sequences vanish; other control characters, lone surrogates and bidirectional overrides
    become visible stand-ins. Newlines and tabs become spaces unless ``keep_newlines``.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE_SEQUENCE.sub("", text)
    return "".join(_plain_character(c, keep_newlines) for c in text)


def one_line(text: str, width: int) -> str:
    """Return ``text`` made plain on one line of at most ``width`` cells, with an ellipsis."""
    flat = " ".join(plain(text[: width * 4 + 64]).split())
    if len(flat) <= width and (flat.isascii() or _cells(flat) <= width):
        return flat
    if flat.isascii():
        return (flat[: width - 1] + "…")[:width]
    from rich.cells import set_cell_size

    return (set_cell_size(flat, max(0, width - 1)).rstrip() + "…")[: max(0, width)]


def fitted(text: str, width: int) -> str:
    """Return ``text`` made plain on one line of just ``width`` cells."""
    shown = one_line(text, width)
    return shown + " " * (width - (len(shown) if shown.isascii() else _cells(shown)))


def ending(text: str, width: int) -> str:
    """Return the end of ``text`` made plain in at most ``width`` cells: of a path, what matters."""
    flat = " ".join(plain(text).split())
    if _cells(flat) <= width:
        return flat
    kept = flat[-max(1, width - 1) :]
    while _cells(kept) > width - 1:
        kept = kept[1:]
    return "…" + kept


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _plain_character(character: str, keep_newlines: bool) -> str:
    if character == "\n":
        return "\n" if keep_newlines else " "
    if character == "\t":
        return "    " if keep_newlines else " "
    category = unicodedata.category(character)
    if category == "Cc":
        code = ord(character)
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"  # noqa: PLR2004
    if category == "Cs" or character in _BIDI:
        return "\ufffd"
    return character


def _scaled(value: float, units: tuple[tuple[float, str], ...], base: str) -> str:
    if not math.isfinite(value):
        return NOT_AVAILABLE
    for factor, unit in units:
        # 999.6 k would round to 1,000 k: it belongs to the next unit.
        if abs(value) >= factor * 0.9995:
            return f"{significant(value / factor)} {unit}"
    return f"{value:,.0f} {base}".rstrip()
