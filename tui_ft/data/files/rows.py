"""A row as it was read, and what every reader needs: text in UTF-8 out of any file that holds some.

Compression and encoding are taken off here, by what a file's first bytes say and whatever its name
says: gzip, zstd, UTF-16 and UTF-32 with a byte order mark, lines that end in a bare CR.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from tui_ft import text

BOM: Final = b"\xef\xbb\xbf"
HEAD: Final = 1 << 16
"""Bytes at the beginning of a file by which it is known."""

DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile)
"""What is raised where compressed data are cut off or broken."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # after a byte 0x50 to 0x5f: pzstd begins so
_EXCERPT: Final = 60

# 1 KiB of zstd grows to at most 32 MiB (a block of 4 bytes may stand for 128 KiB), and where it is
# damaged little of what stands before is lost with it.
_ZSTD_PIECE: Final = 1 << 10
_ZSTD_WINDOW: Final = 1 << 31  # `zstd --long=31`, in which some public archives are packed

_MARKS: Final = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_Buffered: TypeAlias = "BufferedReader[Any] | gzip.GzipFile"


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row. Made for every row of the largest files, so a struct (see `items`).

    Attributes:
        line: the line it begins on, from 1; in arrays, Parquet and Arrow its position.
        values: its columns.
        source: in a folder, the file's name relative to it; empty for a single file.
    """

    line: int
    values: dict[str, Any]
    source: str = ""


def open_bytes(path: Path) -> _Buffered:
    """Open a file for its text in UTF-8: unpacked, decoded, lines ended by LF or CRLF.

    Bytes that are no text in the file's encoding come out as bytes that are no UTF-8.

    Raises:
        OSError: the file cannot be read.
        EOFError, zlib.error, gzip.BadGzipFile: its compressed beginning is damaged (`DAMAGED`).
    """
    file: _Buffered = open_unpacked(path)
    try:
        decode = _decoder(file.peek(HEAD))
        if decode is not None:
            file = BufferedReader(_Pieces(file, _next_piece, decode), HEAD)
        if ends_lines_in_cr(file.peek(HEAD)[:HEAD]):
            file = BufferedReader(_Pieces(file, _next_piece, _end_lines_in_lf), HEAD)
    except BaseException:
        file.close()
        raise
    return file


def open_unpacked(path: Path) -> _Buffered:
    """Open a file, and what is in it if it is compressed with gzip or zstd.

    Raises:
        OSError: the file cannot be read.
    """
    file = BufferedReader(path.open("rb", buffering=0), HEAD)
    try:
        magic = file.peek(len(_ZSTD))[: len(_ZSTD)]
        if magic.startswith(_GZIP):
            file.close()
            return gzip.open(path, "rb")
        if magic == _ZSTD or (magic[1:] == _ZSTD_SKIPPABLE and magic[0] >> 4 == 5):  # noqa: PLR2004
            return BufferedReader(_Pieces(file, _next_packed, _Unzstd()), HEAD)
    except BaseException:
        file.close()
        raise
    return file


def ends_lines_in_cr(head: bytes) -> bool:
    """Return whether lines end in a bare CR, as spreadsheets on a Mac still write CSV."""
    return b"\n" not in head and b"\r" in head[:-1]  # the last may be half of a CRLF


class _Pieces(io.RawIOBase):
    """A file whose content goes through a function on its way.

    Args:
        source: the file; closed with this one.
        read: reads its next piece.
        change: what becomes of a piece; called with nothing once, at the end.
    """

    def __init__(
        self,
        source: _Buffered,
        read: Callable[[_Buffered], bytes],
        change: Callable[[bytes], bytes],
    ) -> None:
        self._source = source
        self._read = read
        self._change = change
        self._left = memoryview(b"")
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        while not self._left and not self._is_over:
            piece = self._read(self._source)
            self._is_over = not piece
            self._left = memoryview(self._change(piece))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


class _Unzstd:
    """Unpacks zstd, frame after frame.

    The library's own stream reader takes data that are cut off for data that have ended.
    """

    def __init__(self) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._unpacker.decompressobj()
        self._is_inside = False
        self._damage: EOFError | None = None

    def __call__(self, piece: bytes) -> bytes:
        if self._damage is None and not piece and self._is_inside:
            self._damage = EOFError("it ends within a frame, so it was probably cut off")
        if self._damage is not None:
            raise self._damage
        unpacked = []
        try:
            while piece:
                unpacked.append(self._frame.decompress(piece))
                self._is_inside = not self._frame.eof
                piece = self._frame.unused_data if self._frame.eof else b""
                if self._frame.eof:
                    self._frame = self._unpacker.decompressobj()
        except self._error as error:
            self._damage = EOFError(str(error))
            if not unpacked:
                raise self._damage from None
        return b"".join(unpacked)


def _decoder(head: bytes) -> Callable[[bytes], bytes] | None:
    """Return what makes UTF-8 of a file that begins with ``head``; None where it is that."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            decoder = codecs.getincrementaldecoder(encoding)(errors=_NO_TEXT)
            return lambda piece: decoder.decode(piece, final=not piece).encode(
                errors="surrogatepass"
            )
    return None


def _end_lines_in_lf(piece: bytes) -> bytes:
    return piece.replace(b"\r", b"\n")


def _next_piece(file: _Buffered) -> bytes:
    return file.read1(HEAD)


def _next_packed(file: _Buffered) -> bytes:
    return file.read(_ZSTD_PIECE)


def _mark_as_no_text(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end  # half a surrogate pair: encoded, it is no UTF-8


_NO_TEXT: Final = "ftui-no-text"
codecs.register_error(_NO_TEXT, _mark_as_no_text)


def type_name(value: object) -> str:
    """Return what JSON calls a value's type, in words."""
    names: dict[type, str] = {
        list: "a list",
        dict: "an object",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def excerpt(line: bytes | str, around: int = 0) -> str:
    """Return the part of ``line`` near position ``around``, as one harmless line."""
    start = max(0, around - _EXCERPT // 2)
    part = line[start : start + _EXCERPT * 4]
    shown = part.decode(errors="replace") if isinstance(part, bytes) else part
    return ("…" if start else "") + text.one_line(shown, _EXCERPT)
