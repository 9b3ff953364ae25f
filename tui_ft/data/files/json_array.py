"""The elements of a JSON array, one at a time, without reading it whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from tui_ft import text
from tui_ft.data.files.rows import BOM, DAMAGED

_PIECE: Final = 1 << 20
_BIGGEST_ELEMENT: Final = 256 << 20

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Possessive throughout, so that nothing is tried twice.
_FLAT: Final = rb'[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+'
_LEAF: Final = rb"(?:\{" + _FLAT + rb"\}|\[" + _FLAT + rb"\])"
_BRACKET: Final = rb"([{}\[\]])"
_TO_BRACKET: Final = re.compile(_FLAT + _BRACKET, re.DOTALL)
# Within an element, objects and lists that hold no others are passed over at once.
_TO_OUTER_BRACKET: Final = re.compile(
    _FLAT + rb"(?:" + _LEAF + _FLAT + rb")*+" + _BRACKET, re.DOTALL
)
_BARE: Final = re.compile(_STRING + rb"|[^\s,]++", re.DOTALL)  # elements that have no brackets
_BETWEEN: Final = frozenset((b"", b","))


class Source(Protocol):
    """What is read piece by piece."""

    def read1(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; nothing at the end."""


class ArrayFault(Exception):
    """An array that is not laid out as one, so that its next element cannot be told.

    Attributes:
        reason: what is wrong with it.
        start: where what is not understood begins; None where all elements had been read.
    """

    def __init__(self, reason: str, start: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.start = start


def elements(file: Source) -> Iterator[tuple[int, bytes]]:
    """Return each element of the array that ``file`` holds, after where it begins in bytes.

    Strings and brackets alone are looked at: whether an element is valid JSON is for the caller to
    find out. In memory are one element and a piece of the file. A byte order mark is not counted.

    Raises:
        ArrayFault: the file ends within the array or goes on after it, a brace is closed that was
            never opened, or an element is larger than 256 MiB.
        EOFError, zlib.error, gzip.BadGzipFile: the file is damaged, after what stands before.
    """
    ahead = _Ahead(file)
    buffer = ahead.read(_PIECE).removeprefix(BOM)
    if not buffer.lstrip().startswith(b"["):
        raise ArrayFault("the file holds no array any more", None)
    passed = 0  # bytes of the file before the buffer
    at = start = buffer.index(b"[") + 1  # what is scanned; what is not handed out yet
    depth = 1
    while depth:
        found = (_TO_BRACKET if depth == 1 else _TO_OUTER_BRACKET).match(buffer, at)
        if found is None:
            passed += start
            buffer, at, start = _continued(ahead, buffer[start:], passed), at - start, 0
            continue
        at = found.end()
        if found[1] in (b"{", b"["):
            if depth == 1:
                yield from _bare(buffer[start : at - 1], passed + start)
                start = at - 1
            depth += 1
            continue
        depth -= 1
        if depth == 1:
            yield passed + start, buffer[start:at]
            start = at
    yield from _bare(buffer[start : at - 1], passed + start)
    if found is not None and found[1] == b"}":
        raise ArrayFault("a brace is closed that was never opened", passed + at - 1)
    _require_end(ahead, buffer[at:])


class _Ahead:
    """Reads as much as is asked for, and says that a file is damaged when that place is reached."""

    def __init__(self, file: Source) -> None:
        self._file = file
        self._damage: Exception | None = None

    def read(self, size: int) -> bytes:
        if self._damage is not None:
            raise self._damage
        pieces: list[bytes] = []
        try:
            while size > 0 and (piece := self._file.read1(size)):
                pieces.append(piece)
                size -= len(piece)
        except DAMAGED as damage:
            if not pieces:
                raise
            self._damage = damage
        return b"".join(pieces)


def _continued(ahead: _Ahead, rest: bytes, start: int) -> bytes:
    """Return ``rest`` and what follows it; twice as much, so that it is scanned at most twice."""
    if len(rest) > _BIGGEST_ELEMENT:
        raise ArrayFault(f"an element is larger than {text.size(_BIGGEST_ELEMENT)}", start)
    piece = ahead.read(max(_PIECE, len(rest)))
    if not piece:
        raise ArrayFault("it ends within the array, so it was probably cut off", start)
    return rest + piece


def _bare(between: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Return the numbers, texts and words that stand between two elements with brackets."""
    if between.strip() in _BETWEEN:
        return
    for found in _BARE.finditer(between):
        yield start + found.start(), found[0]


def _require_end(ahead: _Ahead, rest: bytes) -> None:
    while not rest.strip():
        rest = ahead.read(_PIECE)
        if not rest:
            return
    raise ArrayFault("more follows after the end of the array, which is not read", None)
