"""Rows out of files, one at a time: JSONL, JSON, CSV and TSV, plain or gzipped.

A row that cannot be read is reported with its line and left out; the others stay usable. Memory
does not grow with the file, but for a JSON array, which has to be read whole.
"""

from __future__ import annotations

import difflib
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.data.csv_rows import read_csv
from tui_ft.data.json_rows import read_json
from tui_ft.data.problems import BadLine, DataError
from tui_ft.data.rows import BOM, Row, open_bytes

_DELIMITER: Final = {".csv": ",", ".tsv": "\t"}
_JSON: Final = frozenset((".jsonl", ".ndjson", ".json"))
_READABLE: Final = frozenset((*_JSON, *_DELIMITER))
_HEAD: Final = 1 << 16

# What people have as well, and the way from there; {0} is the file, {1} its name without suffix.
_PYTHON: Final = (
    "python -c \"from datasets import Dataset; Dataset.{}('{{0}}').to_json('{{1}}.jsonl')\""
)
_TO_JSONL: Final = {
    "parquet": _PYTHON.format("from_parquet"),
    "arrow": _PYTHON.format("from_file"),
    "zst": "zstd -d {0}",
    "bz2": "bzip2 -dk {0}",
    "xz": "xz -dk {0}",
    "zip": "unzip {0}",
    "txt": "jq -cR '{{text: .}}' {0} > {1}.jsonl",
}
_MAGIC: Final = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\x28\xb5\x2f\xfd": "zst",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}
_WIDE: Final = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}


def read_rows(path: Path | str) -> Iterator[Row | BadLine]:
    """Return the rows of ``path`` and, in their places, the lines that hold none.

    Raises:
        DataError: there is no such file, it is of no known kind, or cannot be read at all. Raised
            at once, not when the first row is asked for.
    """
    path = paths.expand(path)
    try:
        _require_file(path)
        head = _read_head(path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}") from None
    _require_text(path, head)
    kind = _kind(path)
    rows = read_csv(path, _DELIMITER[kind]) if kind in _DELIMITER else read_json(path, head)
    return _guarded(path, rows)


def _require_file(path: Path) -> None:
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if _kind(p) in _READABLE)
        holds = f": it holds {', '.join(files[:5])}" if files else ""
        raise DataError(f"{path} is a folder; give one file{holds}")
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise DataError(f"there is no file {path}{hint}")
    if not path.is_file():
        raise DataError(f"{path} is no regular file; write its rows to one first")
    if _kind(path) not in _READABLE:
        raise _not_readable(path, path.suffix.lower().removeprefix("."))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def _not_readable(path: Path, kind: str) -> DataError:
    command = _TO_JSONL.get(kind)
    way = f"; convert it with: {command.format(path, path.stem)}" if command else ""
    return DataError(
        f"{path.name} is of a kind that is not read yet{way}. "
        "Read are .jsonl, .json, .csv and .tsv, plain or .gz"
    )


def _read_head(path: Path) -> bytes:
    with open_bytes(path) as file:
        return file.read1(_HEAD)  # one piece: a gzipped file that was cut off has a beginning


def _require_text(path: Path, head: bytes) -> None:
    """Refuse what is no text in UTF-8 from its first bytes on."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise _not_readable(path, kind)
    encoding = next((name for bom, name in _WIDE.items() if head.startswith(bom)), None)
    if encoding is not None:
        raise DataError(
            f"{path} is written in {encoding}; convert it: "
            f"iconv -f {encoding[:6]} -t UTF-8 {path.name} > {path.stem}-utf8{path.suffix}"
        )
    if not head.removeprefix(BOM).strip():
        raise DataError(f"{path} is empty" + (": it holds only white space" if head else ""))


def _guarded(path: Path, rows: Iterable[Row | BadLine]) -> Iterator[Row | BadLine]:
    """Turn what the file system does to us half-way into the last bad line."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield BadLine(line + 1, f"the compressed file is damaged from here on: {_reason(error)}")
    except OSError as error:
        if line == 0:
            raise DataError(f"{path} cannot be read: {_reason(error)}") from None
        yield BadLine(line + 1, f"the file cannot be read on from here: {_reason(error)}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
