"""The row above a chart: what each line is and its newest value, or its value at the crosshair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment

from tui_ft import text
from tui_ft.widgets.scene import Curve, Scene
from tui_ft.widgets.series import SeriesStore
from tui_ft.widgets.ticks import x_label
from tui_ft.widgets.view import View

Entry = tuple[Curve, str]
"""A curve and the mark that stands for it."""

_VALUE_WIDTH: Final = 6
_LONGEST_NAME: Final = 24
_GAP: Final = "  "


def legend_row(scene: Scene, entries: Sequence[Entry], width: int) -> list[Segment]:
    """Return the row, exactly ``width`` cells: entries on the left, modes of the view on the right.

    Entries for which there is no room are counted (`+2`), not cut in half; modes are left out.
    """
    segments: list[Segment] = []
    used = 0
    if scene.view.cursor is not None:
        head = f"{scene.x_kind} {x_label(scene.view.cursor, scene.x_kind)}"
        segments.append(Segment(head, scene.palette.axis))
        used = cell_len(head)
    for number, entry in enumerate(entries):
        parts = _entry(scene, entry)
        length = sum(part.cell_length for part in parts) + (len(_GAP) if used else 0)
        if used and used + length > width:
            rest = f" +{len(entries) - number}"
            if used + len(rest) <= width:
                segments.append(Segment(rest, scene.palette.axis))
                used += len(rest)
            break
        if used:
            segments.append(Segment(_GAP))
        segments.extend(parts)
        used += length
    flags = mode_flags(scene.view)
    while flags and used + len(_GAP.join(flags)) + len(_GAP) > width:
        flags.pop()
    segments.append(Segment(_GAP.join(flags).rjust(width - used), scene.palette.axis))
    return Segment.adjust_line_length(segments, width)


def newest_value(store: SeriesStore) -> str:
    """Return the newest value as text: `0.812`, or `nan` if that is what came last."""
    if store.last is not None and not math.isfinite(store.last):
        return text.significant(store.last)
    return text.significant(store.ys[-1]) if store.ys else text.NOT_AVAILABLE


def mode_flags(view: View) -> list[str]:
    """Return what there is to know about the view, most important first: `log`, `zoom`, ..."""
    flags = ["log"] if view.log else []
    if view.span is not None:
        flags.append("zoom")
    if view.weight:
        flags.append(f"smoothed {view.weight:g}")
    if not view.robust:
        flags.append("with outliers")
    return flags


def _entry(scene: Scene, entry: Entry) -> list[Segment]:
    curve, mark = entry
    tone = scene.palette.tones[curve.data.style]
    value = _value_at_cursor(scene, curve) if scene.view.cursor is not None else ""
    value = value or newest_value(curve.store)
    last = curve.store.last
    broken = last is not None and not math.isfinite(last)
    return [
        Segment(mark, tone),
        Segment(f" {text.one_line(curve.data.name, _LONGEST_NAME)} "),
        Segment(value.ljust(_VALUE_WIDTH), scene.palette.fault if broken else tone),
    ]


def _value_at_cursor(scene: Scene, curve: Curve) -> str:
    """Return the value nearest to the crosshair, with its x where that is another one."""
    cursor = scene.view.cursor
    index = None if cursor is None else curve.store.nearest(cursor)
    if index is None:
        return ""
    shown = text.significant(curve.store.ys[index])
    if curve.data.smooth and curve.data.markers == "line" and scene.view.weight:
        shown += f" ({text.significant(curve.store.smoothed(scene.view.weight)[index])})"
    at = curve.store.xs[index]
    return shown if at == cursor else f"{shown} @{x_label(at, scene.x_kind)}"
