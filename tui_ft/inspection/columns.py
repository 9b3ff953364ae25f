"""One figure for each row, in a plain file of machine words: appended to, read block by block."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
import numpy.typing as npt

from tui_ft import paths

BLOCK: Final = 1 << 17
"""Rows in a block."""


class ColumnWriter:
    """Appends to `<name>.<type>` files of a folder, each opened when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}

    def append(self, name: str, values: array[int] | bytearray | bytes) -> None:
        """Append ``values`` to the column called so, its type in its suffix."""
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _opened(self._folder / name)
        file.write(values)

    def flush(self) -> None:
        """Let readers see what has been appended."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _opened(path: Path) -> IO[bytes]:
    paths.make_private_dir(path.parent)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, paths.PRIVATE_FILE), "wb")


class Column:
    """A column that has been written, of which a block at a time is held in memory.

    Args:
        file: where it lies; if it does not exist, the column is empty.
        kind: of its figures.
    """

    def __init__(self, file: Path, kind: type[np.unsignedinteger[Any]]) -> None:
        self._file = file
        self._kind = np.dtype(kind)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self._file.stat().st_size // self._kind.itemsize if self._file.exists() else 0

    def block(self, start: int) -> npt.NDArray[Any]:
        """Return the figures of the rows from ``start`` on, `BLOCK` of them at most."""
        offset = start * self._kind.itemsize
        return np.fromfile(self._file, self._kind, BLOCK, offset=offset)
