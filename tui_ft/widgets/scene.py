"""What a chart is drawn from: curves, horizontal levels, colours, and the view on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.style import Style

from tui_ft.widgets.series import SeriesData, SeriesStore, Tone
from tui_ft.widgets.ticks import XKind
from tui_ft.widgets.view import Range, View, full_range


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line at a value that was predicted or must not be passed."""

    value: float
    label: str
    style: Tone = "warning"


@dataclass(frozen=True, slots=True)
class Curve:
    """A series and the store that holds its points."""

    data: SeriesData
    store: SeriesStore


@dataclass(frozen=True, slots=True)
class Palette:
    """Styles of the running theme. ``faint`` is added to a tone for what lies behind."""

    tones: Mapping[Tone, Style]
    axis: Style
    fault: Style
    faint: Style


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a frame is made of, its size aside.

    Attributes:
        curves: in the order of the legend; those without a point are left out of the picture.
        view: the part that is seen, and how.
        palette: colours.
        levels: horizontal lines.
        x_kind: what x counts.
        x_end: the last x planned, None if unknown.
        ascii: whether the terminal shows ASCII only.
        empty: what stands there while there is no data.
    """

    curves: Sequence[Curve]
    view: View
    palette: Palette
    levels: Sequence[Level] = ()
    x_kind: XKind = "step"
    x_end: float | None = None
    ascii: bool = False
    empty: str = "waits for the first step"


def data_bounds(curves: Sequence[Curve], x_end: float | None) -> tuple[Range, float] | None:
    """Return the full x range and the newest x of all curves, None if they have no point."""
    stores = [c.store for c in curves if c.store.xs]
    if not stores:
        return None
    last = max(s.xs[-1] for s in stores)
    return full_range(min(s.xs[0] for s in stores), last, x_end), last
