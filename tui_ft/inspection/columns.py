"""One figure for each row, in a plain file of machine words: appended to, mapped when read."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tui_ft import paths


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
