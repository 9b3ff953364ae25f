"""New files beside a data set: there once they are whole, and never in the place of another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TypeVar

from tui_ft import paths
from tui_ft.data.problems import DataError
from tui_ft.hub.dataset_info import is_dataset_id
from tui_ft.survey.summary import Summary

Tell = Callable[[int], object]
"""Called with the rows done, now and then. What it raises ends the work, and no file is left."""

_TELL_EVERY: Final = 500
_PAUSE_SECONDS: Final = 0.001
"""Python runs one thread at a time: without a rest now and then a screen would wait for this."""

_Anything = TypeVar("_Anything")


class FileThereError(DataError):
    """There is a file of that name, and it may not be replaced."""


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Open a file that is there only once it is whole, readable by the user alone.

    Raises:
        FileThereError: there is one already, and it may not be replaced.
        DataError: there is no such folder.
        OSError: it cannot be written.
    """
    if path.exists() and not replace:
        raise FileThereError(f"{path} is there already")
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {path.parent}")
    with paths.whole_file(path) as file:
        yield file


def refuse_in_place(summary: Summary, *outputs: Path) -> None:
    """Refuse outputs that are the data set itself, or each other.

    Raises:
        DataError: which file, and what to do.
    """
    read = {Path(name).resolve() for name in (summary.path, summary.rows_file) if name}
    for output in outputs:
        if output.resolve() in read:
            raise DataError(f"{output} is the data set itself, which stays as it is: name another")
        read.add(output.resolve())


def told(rows: Iterable[_Anything], tell: Tell | None) -> Iterator[_Anything]:
    """Yield ``rows``, saying now and then how many there were; for a screen, with rests."""
    for done, row in enumerate(rows):
        if tell is not None and done % _TELL_EVERY == 0:
            tell(done)
            time.sleep(_PAUSE_SECONDS)
        yield row


def stem_of(path: Path) -> str:
    """Return a data set's name without its suffixes: `rows` of `rows.jsonl.gz`."""
    return path.name.partition(".")[0] or path.name


def beside(path: str, what: str) -> Path:
    """Return the name of a new file beside the data set: `rows-clean.jsonl`.

    Of one on the Hub the new file lies in the current folder.
    """
    data = paths.expand(path)
    name = f"{stem_of(data)}-{what}.jsonl"
    return Path.cwd() / name if is_dataset_id(path) else data.parent / name
