"""Rows out of plain text: blocks between blank lines, or lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from tui_ft.data.files.rows import BOM, DAMAGED, HEAD, Row, excerpt, open_bytes
from tui_ft.data.problems import BadLine

_BIGGEST_BLOCK: Final = 16 << 20


def read_text(path: Path) -> Iterator[Row | BadLine]:
    """Return the rows of a text file, each `{"text": …}`, with the line it begins on.

    Which of two ways a file is laid out, its first 64 KiB say. A blank line between two lines that
    are not is put there by people to part one thing from the next (paragraphs, poems, stories with
    their lines wrapped): then each block is a row, its lines kept, since a wrapped line alone would
    teach to stop in mid-sentence. Without one, each line that is not blank is a row, as in corpora
    with a sentence or a document on each line. The beginning decides, so that rows come at once and
    a file of any size is read once; 64 KiB hold several paragraphs of any book.

    A block of more than 16 MiB is parted at a line's end, so that memory stays flat.

    Raises:
        OSError: the file cannot be read.
    """
    as_blocks = _has_blocks(_beginning(path))
    with open_bytes(path) as file:
        lines = enumerate(chain((file.readline().removeprefix(BOM),), file), start=1)
        yield from _blocks(lines) if as_blocks else _lines(lines)


def _beginning(path: Path) -> bytes:
    pieces: list[bytes] = []
    with open_bytes(path) as file:
        try:
            while sum(map(len, pieces)) < HEAD and (piece := file.read1(HEAD)):
                pieces.append(piece)
        except DAMAGED:
            pass  # what is wrong is said when the rows reach it
    return b"".join(pieces)[:HEAD]


def _has_blocks(head: bytes) -> bool:
    filled = [bool(line.strip()) for line in head.removeprefix(BOM).split(b"\n")]
    if True not in filled:
        return False
    last = len(filled) - 1 - filled[::-1].index(True)
    return False in filled[filled.index(True) : last]


def _lines(lines: Iterator[tuple[int, bytes]]) -> Iterator[Row | BadLine]:
    for number, line in lines:
        if line.strip():
            yield _row(number, [line])


def _blocks(lines: Iterator[tuple[int, bytes]]) -> Iterator[Row | BadLine]:
    block: list[bytes] = []
    begins, size = 1, 0
    for number, line in lines:
        is_blank = not line.strip()
        if block and (is_blank or size > _BIGGEST_BLOCK):
            yield _row(begins, block)
            block, size = [], 0
        if not is_blank:
            begins = begins if block else number
            block.append(line)
            size += len(line)
    if block:
        yield _row(begins, block)


def _row(begins: int, lines: list[bytes]) -> Row | BadLine:
    try:
        text = "\n".join([line.rstrip(b"\r\n").decode() for line in lines])
    except UnicodeDecodeError:
        return _not_utf8(begins, lines)
    if "\0" in text:
        return BadLine(begins, "holds NUL bytes: the file was damaged", excerpt(text))
    return Row(begins, {"text": text})


def _not_utf8(begins: int, lines: list[bytes]) -> BadLine:
    for number, line in enumerate(lines, start=begins):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            place = f"byte {error.start + 1} of " + (
                "the line" if len(lines) == 1 else f"line {number}"
            )
            fault = f"not UTF-8 at {place}: save the file in that encoding"
            return BadLine(begins, fault, excerpt(line, error.start))
    raise AssertionError("asked only about lines that are no text")
