"""New files beside a data set: there once they are whole, and never in the place of another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tui_ft import paths
from tui_ft.data.problems import DataError


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Open a file that is there only once it is whole, readable by the user alone.

    Raises:
        DataError: there is one already, and it may not be replaced.
        OSError: it cannot be written.
    """
    if path.exists() and not replace:
        raise DataError(f"{path} is there already; name another with --out, or use --force")
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {path.parent}")
    partial = path.with_name(f".{path.name}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, paths.PRIVATE_FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def stem_of(path: Path) -> str:
    """Return a data set's name without its suffixes: `rows` of `rows.jsonl.gz`."""
    return path.name.partition(".")[0] or path.name


def beside(path: Path, what: str) -> Path:
    """Return the name of a new file beside the data set: `rows-clean.jsonl`."""
    return path.parent / f"{stem_of(path)}-{what}.jsonl"
