"""The folder in which the ranks of a run meet: this user's alone, and gone when the run is.

A launcher that was killed leaves its folder; the next one of the same user sweeps it away. Whether
one lives is told by a lock in it, which also holds between containers that share a /tmp.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.runs.folder import is_locked

_PREFIX: Final = "ftui-ranks-"
_LOCK: Final = "lock"


@contextlib.contextmanager
def meeting_folder() -> Iterator[Path]:
    """Make a folder for ranks to meet in, mode 0700; it goes in the end.

    Raises:
        OSError: it cannot be made.
    """
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Locked before it has its name: whoever sweeps sees no lock, or one that is held.
    descriptor = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, paths.PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (folder / ".lock").rename(folder / _LOCK)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def sweep() -> None:
    """Remove the folders that killed launchers of this user have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_ours(folder) and (folder / _LOCK).is_file() and not is_locked(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Tell whether it is what `mkdtemp` makes for this user: no link, no other's, open to none."""
    told = folder.lstat()
    is_private = stat.S_ISDIR(told.st_mode) and stat.S_IMODE(told.st_mode) == paths.PRIVATE_DIR
    return is_private and told.st_uid == os.getuid()
