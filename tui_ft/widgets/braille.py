"""A canvas of dots in terminal cells: braille (2 x 4 dots a cell) or ASCII (one sign a cell).

Dots are counted from the top left. Layers lie on top of each other: a cell shows the dots of the
topmost layer that has any there, so that a strong line is not thickened by what lies beneath it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

_BITS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE: Final = [chr(0x2800 + bits) for bits in range(256)]


def _span_masks(bits: tuple[int, ...]) -> list[list[int]]:
    """Return for one dot column the bits of the rows a..b of a cell, as ``masks[a][b]``."""
    rows = len(bits)
    return [[sum(bits[a : b + 1]) for b in range(rows)] for a in range(rows)]


_BRAILLE_MASKS: Final = [_span_masks(bits) for bits in _BITS]
_ASCII_MASKS: Final = [[[1]]]


class Layer:
    """Dots of one style. Everything outside the canvas is cut off.

    Attributes:
        style: of the cells in which this layer is on top.
        glyph: what a cell shows on an ASCII canvas.
    """

    def __init__(self, canvas: Canvas, style: Style, glyph: str) -> None:
        self.style = style
        self.glyph = glyph
        self.cells = bytearray(canvas.width * canvas.height)
        self._width = canvas.width
        self._across, self._down = canvas.dots_across, canvas.dots_down
        self._wide, self._high = canvas.dots_wide, canvas.dots_high
        self._masks = canvas.masks

    def dot(self, x: int, y: int) -> None:
        """Set one dot."""
        self.vertical(x, y, y)

    def vertical(self, x: int, y0: int, y1: int) -> None:
        """Set the dots of column ``x`` from row ``y0`` to ``y1``, in any order, both included."""
        if not 0 <= x < self._wide:
            return
        top, bottom = (y0, y1) if y0 <= y1 else (y1, y0)
        top, bottom = max(0, top), min(self._high - 1, bottom)
        if top > bottom:
            return
        masks = self._masks[x % self._across]
        column, down, width, cells = x // self._across, self._down, self._width, self.cells
        first, last = top // down, bottom // down
        if first == last:
            cells[first * width + column] |= masks[top % down][bottom % down]
            return
        cells[first * width + column] |= masks[top % down][down - 1]
        for row in range(first + 1, last):
            cells[row * width + column] |= masks[0][down - 1]
        cells[last * width + column] |= masks[0][bottom % down]

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Set the dots of a straight line, one in each row and each column that it crosses.

        Works column by column, so that a steep line costs no more than a flat one.
        """
        if x0 > x1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        dx, dy = x1 - x0, y1 - y0
        if dx == 0:
            self.vertical(x0, y0, y1)
            return
        columns = range(max(0, x0), min(self._wide - 1, x1) + 1)
        if abs(dy) <= dx:
            for x in columns:
                y = y0 + (2 * dy * (x - x0) + dx) // (2 * dx)
                self.vertical(x, y, y)
            return
        # A column takes the rows whose nearest column it is: t rows from the start, t from
        # dy (x - x0 - 1/2) / dx up to, without, dy (x - x0 + 1/2) / dx.
        rows, sign = abs(dy), 1 if dy > 0 else -1
        for x in columns:
            start = 0 if x == x0 else -((-rows * (2 * (x - x0) - 1)) // (2 * dx))
            stop = rows if x == x1 else -((-rows * (2 * (x - x0) + 1)) // (2 * dx)) - 1
            self.vertical(x, y0 + sign * start, y0 + sign * stop)

    def polyline(self, points: Iterable[tuple[int, int]]) -> None:
        """Connect ``points``; a single point is a dot."""
        corners = list(points)
        if len(corners) == 1:
            self.dot(*corners[0])
        for (x0, y0), (x1, y1) in pairwise(corners):
            self.line(x0, y0, x1, y1)


class Canvas:
    """Layers of dots and, on top of them, text in cells.

    Attributes:
        width: cells.
        height: cells.
        dots_wide: dots across the whole canvas.
        dots_high: dots down the whole canvas.
    """

    def __init__(self, width: int, height: int, *, ascii: bool = False) -> None:
        self.width, self.height = max(0, width), max(0, height)
        self.dots_across, self.dots_down = (1, 1) if ascii else (2, 4)
        self.dots_wide, self.dots_high = self.width * self.dots_across, self.height * self.dots_down
        self.masks = _ASCII_MASKS if ascii else _BRAILLE_MASKS
        self._ascii = ascii
        self._layers: list[Layer] = []
        self._text: dict[int, tuple[str, Style]] = {}

    def layer(self, style: Style, glyph: str = "*") -> Layer:
        """Add a layer on top of those there are."""
        layer = Layer(self, style, glyph)
        self._layers.append(layer)
        return layer

    def put(self, column: int, row: int, text: str, style: Style) -> None:
        """Write ``text`` over everything; what does not fit is cut off.

        A sign that is not one cell wide would shift what follows: a full stop stands for it.
        """
        if not 0 <= row < self.height:
            return
        for offset, sign in enumerate(c if cell_len(c) == 1 else "." for c in text):
            if 0 <= column + offset < self.width:
                self._text[row * self.width + column + offset] = (sign, style)

    def rows(self) -> list[list[Segment]]:
        """Return the picture, one list of segments a row, neighbours of one style joined."""
        return [self._row(row) for row in range(self.height)]

    def _row(self, row: int) -> list[Segment]:
        start = row * self.width
        signs = [" "] * self.width
        styles: list[Style | None] = [None] * self.width
        for layer in self._layers:
            cells = layer.cells[start : start + self.width]
            if not any(cells):
                continue
            for column, bits in enumerate(cells):
                if bits:
                    signs[column] = layer.glyph if self._ascii else _BRAILLE[bits]
                    styles[column] = layer.style
        if self._text:
            for column in range(self.width):
                written = self._text.get(start + column)
                if written is not None:
                    signs[column], styles[column] = written
        return _join(signs, styles)


def _join(signs: list[str], styles: list[Style | None]) -> list[Segment]:
    segments: list[Segment] = []
    start = 0
    for column in range(1, len(signs) + 1):
        if column == len(signs) or styles[column] != styles[start]:
            segments.append(Segment("".join(signs[start:column]), styles[start]))
            start = column
    return segments
