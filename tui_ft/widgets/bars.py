"""Bars, gauges, sparklines of a fixed width: measured `█`, predicted `░`, not available `n/a`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tui_ft.text import NOT_AVAILABLE
from tui_ft.widgets.signs import use_ascii

if TYPE_CHECKING:
    from textual.content import Content

MEASURED: Final = "█"
PREDICTED: Final = "░"
ASCII_MEASURED: Final = "#"
ASCII_PREDICTED: Final = "."

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS: Final = "_.-:=+*#"
_TRACK: Final = "on $foreground 12%"


def bar_string(
    fraction: float | None,
    width: int,
    *,
    predicted: float | None = None,
    ascii: bool | None = None,
) -> str:
    """Return a bar of exactly ``width`` cells without colour: `██████▌░  `.

    Args:
        fraction: measured share, clamped to 0..1; None or NaN gives `n/a`. More than nothing shows
            at least an eighth of a cell, less than everything leaves at least an eighth free.
        width: cells.
        predicted: predicted share, marked `░` up to there; where the measured share has already
            passed it, `░` marks the cell in which it lay.
        ascii: `#` and `.` instead of blocks; None looks at the environment.
    """
    if width <= 0:
        return ""
    if fraction is None or math.isnan(fraction):
        return NOT_AVAILABLE[:width].ljust(width)
    plain = use_ascii(ascii)
    cells = list(_measured_cells(fraction, width, plain))
    mark = ASCII_PREDICTED if plain else PREDICTED
    filled = len(cells)
    if predicted is not None and math.isfinite(predicted):
        end = math.ceil(min(1.0, max(0.0, predicted)) * width - 1e-9)
        if end > filled:
            cells.extend(mark * (end - filled))
        elif 0 < end < filled:
            cells[end - 1] = mark
    return "".join(cells).ljust(width)


def bar(
    fraction: float | None,
    width: int,
    *,
    predicted: float | None = None,
    ascii: bool | None = None,
    style: str = "$accent",
) -> Content:
    """Return the bar of `bar_string` in theme colours, on a track that shows its full length."""
    from textual.content import Content

    cells = bar_string(fraction, width, predicted=predicted, ascii=ascii)
    if fraction is None or math.isnan(fraction):
        return Content.styled(cells, f"$text-muted {_TRACK}")
    return Content.styled(cells, f"{style} {_TRACK}")


def sparkline(
    values: Sequence[float | None],
    width: int,
    *,
    low: float | None = None,
    high: float | None = None,
    ascii: bool | None = None,
) -> str:
    """Return the newest values as a line of blocks, newest on the right, ``width`` cells wide.

    More values than cells: each cell shows the largest of its share, so that no peak is lost.
    Missing and non-finite values are blanks. ``low`` and ``high`` fix the scale (0..1 for shares),
    otherwise it is that of the values.
    """
    if width <= 0:
        return ""
    cells = _peaks(values, width)
    known = [value for value in cells if value is not None]
    if not known:
        return " " * width
    bottom = min(known) if low is None else low
    top = max(known) if high is None else high
    levels = _ASCII_LEVELS if use_ascii(ascii) else _LEVELS
    drawn = (" " if v is None else _level(v, bottom, top, levels) for v in cells)
    return "".join(drawn).rjust(width)


def gauge_line(
    label: str,
    value_text: str,
    fraction: float | None,
    width: int,
    *,
    predicted: float | None = None,
    label_width: int = 9,
    value_width: int = 0,
    ascii: bool | None = None,
    style: str = "$accent",
) -> Content:
    """Return `memory   █████████▌░  9.4 GB`, exactly ``width`` cells wide.

    ``label_width`` and ``value_width`` (the least room for the value, left-aligned) are given by
    the caller, so that the bars of several lines stand under each other. Too narrow for a bar of
    3 cells: the bar goes and label and value stay.
    """
    from textual.content import Content

    head = label[:label_width].ljust(label_width)
    value = value_text.ljust(value_width)
    room = width - len(head) - len(value) - 2
    if room < 3:  # noqa: PLR2004 - a shorter bar says nothing
        return Content(f"{head}{value}"[: max(0, width)].ljust(max(0, width)))
    drawn = bar(fraction, room, predicted=predicted, ascii=ascii, style=style)
    return Content.assemble(head, drawn, "  ", value)


def _measured_cells(fraction: float, width: int, ascii: bool) -> str:
    share = min(1.0, max(0.0, fraction))
    steps = 1 if ascii else len(_EIGHTHS)
    total = width * steps
    parts = round(share * total)
    if share > 0:
        parts = max(1, parts)
    if share < 1 and total > 1:
        parts = min(total - 1, parts)
    whole, rest = divmod(parts, steps)
    if ascii:
        return ASCII_MEASURED * whole
    return MEASURED * whole + (_EIGHTHS[rest] if rest else "")


def _peaks(values: Sequence[float | None], width: int) -> list[float | None]:
    finite = [v if v is not None and math.isfinite(v) else None for v in values]
    if len(finite) <= width:
        return list(finite)
    peaks: list[float | None] = []
    for cell in range(width):
        share = finite[cell * len(finite) // width : (cell + 1) * len(finite) // width]
        peaks.append(max((v for v in share if v is not None), default=None))
    return peaks


def _level(value: float, bottom: float, top: float, levels: str) -> str:
    if top <= bottom:
        return levels[0]
    share = (value - bottom) / (top - bottom)
    return levels[min(len(levels) - 1, max(0, int(share * len(levels))))]
