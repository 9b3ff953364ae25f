"""Rows out of JSON: an object on each line, an array of objects, or an object that holds one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from tui_ft import text
from tui_ft.data.files.json_array import ArrayFault, elements
from tui_ft.data.files.kinds import JSON
from tui_ft.data.files.rows import (
    BOM,
    DAMAGED,
    HEAD,
    Row,
    ends_lines_in_cr,
    excerpt,
    open_bytes,
    type_name,
)
from tui_ft.data.problems import BadLine, DataError

_BIGGEST_WHOLE: Final = 2 << 30
_SMALL: Final = 64 << 20
_PIECE: Final = 1 << 20
_LINES_LOOKED_AT: Final = 16
_BETWEEN: Final = re.compile(r"[\s,]*")
_NOT_A_NUMBER: Final = (b"NaN", b"Infinity")
_HALF_PAIR: Final = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, head: bytes) -> Iterator[Row | BadLine]:
    """Return the rows of a JSON or JSONL file; which of the two its content says, not its name.

    Args:
        path: the file, plain or compressed.
        head: its first bytes, unpacked and in UTF-8.

    Raises:
        DataError: an object over several lines, too large to be read whole.
        OSError: the file cannot be read.
    """
    start = head.removeprefix(BOM).lstrip()
    if start.startswith(b"["):
        return _read_array(path)
    if start.startswith(b"{") and _is_one_object(path, start):
        return _read_whole(path)
    return _read_lines(path)


def holds_lines_in_place(path: Path) -> bool:
    """Return whether each line of the file, as it lies on disk, is a row: then it can be sought.

    Raises:
        OSError: the file cannot be read.
    """
    if path.suffix.lower() not in JSON:
        return False
    with path.open("rb") as file:
        head = file.read(_PIECE)
    start = head.removeprefix(BOM).lstrip()
    if not start.startswith(b"{") or ends_lines_in_cr(head[:HEAD]):
        return False
    return not _is_one_object(path, start)


def _is_one_object(path: Path, start: bytes) -> bool:
    """Return whether the file seems to be one object spread over lines, rather than JSONL."""
    first, *rest = (line for line in start.splitlines() if line.strip())
    if _is_object(first) or not rest:
        # An object on a line of its own; `{"data": […]}` may still be the only one.
        return not rest and path.stat().st_size <= _SMALL
    return path.stat().st_size <= _SMALL or not _is_object(rest[0])


def _holds_lines(data: bytes) -> bool:
    """Return whether one of the first lines is an object by itself: then each line is a row."""
    lines = (line for line in BytesIO(data) if line.strip())
    return any(_is_object(line) for line in islice(lines, _LINES_LOOKED_AT))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _read_lines(path: Path) -> Iterator[Row | BadLine]:
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            line = (raw.removeprefix(BOM) if number == 1 else raw).strip()
            if line:
                yield parse_line(number, line)


def parse_line(number: int, line: bytes) -> Row | BadLine:
    """Return the row that stands on a line, stripped of white space, or why it holds none."""
    try:
        value = _loads(line)
    except orjson.JSONDecodeError as error:
        return BadLine(number, _fault(line, error), excerpt(line, error.pos))
    if not isinstance(value, dict):
        return BadLine(number, f"holds {type_name(value)}, not an object", excerpt(line))
    return Row(number, value)


def _loads(data: bytes) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Python writes NaN and Infinity, which JSON does not have. A score that is NaN is no reason
        # to lose the row.
        if not any(word in data for word in _NOT_A_NUMBER):
            raise
        value = _loads_with_nan(data)
        if value is None:
            raise
        return value


def _loads_with_nan(data: bytes) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what Python's own, more lenient reader makes of ``data``; None if nothing."""
    try:
        document = data.decode()
        value = json.loads(document)
    except (ValueError, RecursionError):
        return None
    return None if _has_half_pair(document, value) else value


def _has_half_pair(document: str, value: object) -> bool:
    """Return whether a text in ``value`` is none: half of a surrogate pair has no UTF-8."""
    if not _HALF_PAIR.search(document):
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return True
    return False


def _fault(data: bytes, error: orjson.JSONDecodeError) -> str:
    if b"\0" in data:
        return "holds NUL bytes: the file was damaged, or is not UTF-8"
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        return f"not UTF-8 at byte {fault.start + 1} of the line: save the file in that encoding"
    if error.msg == "unexpected end of data":
        return "not valid JSON: it ends in the middle, so it was probably cut off"
    return f"not valid JSON: {error.msg} at column {error.colno}"


def _read_array(path: Path) -> Iterator[Row | BadLine]:
    """Read an array element by element; where a small one is broken, as leniently as can be."""
    position, may_be_small = 0, True
    try:
        with open_bytes(path) as file:
            for start, element in elements(file):
                position += 1
                try:
                    yield _element(position, _loads(element))
                except orjson.JSONDecodeError as error:
                    if may_be_small and (small := _read_small(path)):
                        yield from _read_on(small, start, position - 1)
                        return
                    may_be_small = False
                    fault = f"element {position} is {_fault(element, error)}"
                    yield BadLine(position, fault, excerpt(element, error.pos))
    except ArrayFault as fault:
        if fault.start is not None and may_be_small and (small := _read_small(path)):
            yield from _read_on(small, fault.start, position)
        else:
            yield BadLine(position + 1, f"{fault.reason}; reading stops there")


def _element(position: int, value: object) -> Row | BadLine:
    if isinstance(value, dict):
        return Row(position, value)
    return BadLine(position, f"element {position} is {type_name(value)}, not an object")


_Content = tuple[bytes, Exception | None]
"""What is in a file as far as it can be unpacked, without a byte order mark; why no further."""


def _read_small(path: Path) -> _Content | None:
    """Return what is in the file if it is small enough to be held in memory several times."""
    if path.stat().st_size > _SMALL:
        return None
    content = _read_bytes(path, _SMALL)
    return content if len(content[0]) <= _SMALL else None


def _read_on(content: _Content, start: int, position: int) -> Iterator[Row | BadLine]:
    """Read what can be read of a broken array from byte ``start`` on, after ``position`` rows."""
    data, damage = content
    yield from _read_pieces(data, len(data[:start].decode(errors="replace")), position)
    if damage is not None:
        raise damage


def _read_whole(path: Path) -> Iterator[Row | BadLine]:
    """Read an object that holds an array of rows, or one that is the only row."""
    if path.stat().st_size > _BIGGEST_WHOLE:
        file = shlex.quote(str(path))
        raise DataError(
            f"{path} is one JSON object of {text.size(path.stat().st_size)}, which would have to "
            f"be read whole; write its rows as JSONL: jq -c '.data[]' {file} > "
            f"{shlex.quote(path.stem + '.jsonl')}"
        )
    data, damage = _read_bytes(path, _BIGGEST_WHOLE)
    try:
        whole = _loads(data)
    except orjson.JSONDecodeError:
        start = len(data) - len(data.lstrip())
        yield from _read_lines(path) if _holds_lines(data) else _read_pieces(data, start, 0)
    else:
        for position, value in enumerate(_rows_of(whole), start=1):
            yield _element(position, value)
    if damage is not None:
        raise damage


def _read_bytes(path: Path, limit: int) -> _Content:
    """Return what is in the file, or something more than ``limit`` bytes of it."""
    pieces: list[bytes] = []
    size = 0
    with open_bytes(path) as file:
        try:
            while size <= limit and (piece := file.read1(_PIECE)):
                pieces.append(piece)
                size += len(piece)
        except DAMAGED as error:
            return b"".join(pieces).removeprefix(BOM), error
    return b"".join(pieces).removeprefix(BOM), None


def _rows_of(whole: Any) -> list[Any]:  # noqa: ANN401 - whatever the file holds
    if isinstance(whole, list):
        return whole
    lists = [v for v in whole.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    # `{"version": …, "data": [rows]}` holds rows; `{"messages": [turns]}` is one.
    is_turns = lists and {"role", "from"} & set(lists[0][0])
    return lists[0] if len(lists) == 1 and not is_turns else [whole]


def _read_pieces(data: bytes, start: int, position: int) -> Iterator[Row | BadLine]:
    """Read what can be read of a broken array, or of objects one after the other.

    It begins at the character ``start``, after element ``position``.

    After an object that is broken, reading goes on at the next line that begins as its line did.
    """
    document, is_text = data.decode(errors="replace"), _is_text(data)
    decoder = json.JSONDecoder()
    at = start
    while (at := _skip(document, at)) < len(document) and document[at] != "]":
        position, began = position + 1, at
        try:
            value, at = decoder.raw_decode(document, at)
        except json.JSONDecodeError as error:
            at = _next_piece(document, at, error.pos)
            yield _broken_piece(position, document, error, at)
        except (ValueError, RecursionError):  # Python's limits: 4,300 digits, 1,000 levels
            at = _next_piece(document, at, at)
            fault = f"element {position} is nested too deeply, or holds too long a number"
            yield BadLine(position, fault + _lost(document, at), excerpt(document, began))
        else:
            yield _checked_piece(position, document[began:at], value, is_text)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _checked_piece(position: int, piece: str, value: object, is_text: bool) -> Row | BadLine:
    if not isinstance(value, dict):
        return BadLine(position, f"element {position} is {type_name(value)}, not an object")
    if ("\ufffd" in piece and not is_text) or _has_half_pair(piece, value):
        return BadLine(position, f"element {position} holds text that is no UTF-8", excerpt(piece))
    return Row(position, value)


def _skip(document: str, at: int) -> int:
    found = _BETWEEN.match(document, at)
    return found.end() if found else at


def _broken_piece(
    position: int, document: str, error: json.JSONDecodeError, next_at: int
) -> BadLine:
    place = f"element {position} (line {error.lineno} of the file, column {error.colno})"
    fault = f"{place} is not valid JSON: {error.msg}" + _lost(document, next_at)
    return BadLine(position, fault, excerpt(document, error.pos))


def _lost(document: str, next_at: int) -> str:
    return "" if next_at < len(document) else "; reading stops there"


def _next_piece(document: str, start: int, fault: int) -> int:
    """Return where the next object begins after the one at ``start``, broken at ``fault``."""
    indent = document[document.rfind("\n", 0, start) + 1 : start]
    opening = "\n" + indent + "{"
    found = document.find(opening, max(fault - 1, start + 1)) if not indent.strip() else -1
    return len(document) if found < 0 else found + 1
