"""Which kinds of files are read, by name and by first bytes; what to do with those that are not."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from tui_ft.data.problems import DataError

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
JSON: Final = frozenset((".jsonl", ".ndjson", ".jsonlines", ".json"))
TEXT: Final = frozenset((".txt", ".text", ".md"))
PARQUET: Final = frozenset((".parquet", ".pq"))
ARROW: Final = frozenset((".arrow", ".feather", ".ipc"))
READABLE: Final = frozenset((*JSON, *DELIMITERS, *TEXT, *PARQUET, *ARROW))
READ_ARE: Final = (
    "Read are .jsonl, .json, .csv, .tsv, .txt and .md, plain, .gz or .zst; .parquet, .arrow and "
    ".feather; folders of these"
)

_COMPRESSED: Final = (".gz", ".zst", ".zstd")
_PACKED_MAGIC: Final = {b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"PK\x03\x04": ".zip"}
_ARROW_STREAM: Final = b"\xff\xff\xff\xff"  # of its first message; no text begins so
_TABLE_MAGIC: Final = {b"PAR1": ".parquet", b"ARROW1": ".arrow", _ARROW_STREAM: ".arrow"}

_TO_CSV: Final = "soffice --headless --convert-to csv {}"
_COMMANDS: Final = {
    ".gz": "gunzip -k {}",
    ".zst": "zstd -d {}",
    ".zstd": "zstd -d {}",
    ".bz2": "bzip2 -dk {}",
    ".xz": "xz -dk {}",
    ".lz4": "lz4 -d {}",
    ".zip": "unzip {}",
    ".tar": "tar -xf {}",
    ".tgz": "tar -xf {}",
    ".xls": _TO_CSV,
    ".xlsx": _TO_CSV,
    ".ods": _TO_CSV,
}


def kind_of(path: Path) -> str:
    """Return the suffix that says what is in a file: `.csv` for both `a.csv` and `a.CSV.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _COMPRESSED else suffix


def table_kind(path: Path, head: bytes) -> str:
    """Return `.parquet` or `.arrow` where a file is one by ``head`` or else by name, or nothing."""
    kind = kind_of(path)
    for magic, found in _TABLE_MAGIC.items():
        if head.startswith(magic) and not _may_be_text(kind, head):
            return found
    if kind in PARQUET:
        return ".parquet"
    return ".arrow" if kind in ARROW else ""


def refuse_packed(path: Path, head: bytes) -> None:
    """Refuse archives, whatever their name.

    Raises:
        DataError: it is one; says how to unpack it.
    """
    for magic, kind in _PACKED_MAGIC.items():
        if head.startswith(magic) and not _may_be_text(kind_of(path), head):
            named = path.suffix.lower()  # .xlsx is a zip
            raise not_readable(path, named if named in _COMMANDS else kind)


def not_readable(path: Path, kind: str) -> DataError:
    """Return the refusal of a file, with what makes a readable one of it."""
    command = _COMMANDS.get(kind)
    way = f"; convert it with: {command.format(shlex.quote(str(path)))}" if command else ""
    return DataError(f"{path.name} is of a kind that is not read{way}. {READ_ARE}")


def _may_be_text(kind: str, head: bytes) -> bool:
    """A text may begin with `PK` or `PAR1`; it holds no NUL, as all of the others do."""
    return kind in TEXT and b"\0" not in head
