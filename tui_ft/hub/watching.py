"""How far a download is, told by the files that grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOOK_SECONDS: Final = 1.0


@contextmanager
def watched(folder: Path, tell: Callable[[int], None]) -> Iterator[None]:
    """Call ``tell`` every second with the bytes in ``folder``, from a thread of its own."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            tell(bytes_in(folder))

    watcher = threading.Thread(target=watch, daemon=True, name="ftui-download")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def bytes_in(folder: Path) -> int:
    """Return the bytes of the files in ``folder``; none when it is not there."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0
