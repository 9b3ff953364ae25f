"""Where ftui keeps things, and how it writes them: private to the user, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_config_path, user_data_path

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600


def home() -> Path:
    """Return `$FTUI_HOME`, by default the platform's user data folder. It need not exist yet."""
    chosen = os.environ.get("FTUI_HOME")
    return expand(chosen).absolute() if chosen else user_data_path("ftui")


def runs_dir() -> Path:
    """Return the folder that holds one folder for each run."""
    return home() / "runs"


def models_dir() -> Path:
    """Return the folder of models that ftui prepared itself."""
    return home() / "models"


def leases_dir() -> Path:
    """Return the folder in which runs queue for GPUs."""
    return home() / "leases"


def config_dir() -> Path:
    """Return the user's configuration folder (`$FTUI_CONFIG`, or the platform's): presets, keys."""
    chosen = os.environ.get("FTUI_CONFIG")
    return expand(chosen).absolute() if chosen else user_config_path("ftui")


def expand(path: str | Path) -> Path:
    """Return ``path`` with `~` as the home folder; `~nobody` of no known user stays as written."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def make_private_dir(path: Path) -> Path:
    """Create ``path`` and its missing parents, readable by the user alone; return it."""
    missing = [path, *path.parents]
    for folder in reversed([p for p in missing if not p.exists()]):
        folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
    return path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content`` (mode 0600), so that a reader sees the old file or the new.

    Raises:
        OSError: the folder is not writable or the disk is full; ``path`` is then as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that becomes ``path`` at the end, whole or not at all; see above.

    Until then it has a name that nobody else writes to.
    """
    temporary = None
    try:
        # mkstemp: 0600
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        own = (None, name if temporary else None)
        if isinstance(error, OSError) and (temporary is None or error.filename in own):
            error.filename, error.filename2 = str(path), None  # what is meant, not how it is done
        raise
