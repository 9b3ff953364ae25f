"""A folder as one data set: which of its files hold the rows, and those rows one after the other.

What `save_to_disk` of `datasets` writes, a snapshot of the Hub, and shards from any other tool.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

from tui_ft import paths
from tui_ft.data.files.kinds import READ_ARE, READABLE, TEXT, kind_of
from tui_ft.data.files.rows import Row
from tui_ft.data.problems import BadLine, DataError

# As `datasets` recognises them (data_files.py, SPLIT_KEYWORDS): a word between these characters.
_BESIDE: Final = r"[-._ 0-9]"
_TRAIN: Final = ("train", "training")
_HELD_OUT: Final = (
    *("validation", "valid", "val", "dev"),
    *("test", "testing", "eval", "evaluation"),
)
_SPLIT: Final = re.compile(
    rf"(?:^|{_BESIDE})({'|'.join((*_TRAIN, *_HELD_OUT))})(?={_BESIDE}|$)", re.IGNORECASE
)
_ABOUT: Final = re.compile(
    r"(dataset_infos?|dataset_dict|state|config|package|index|metadata)\.json$"
    r"|(readme|licen[cs]e|copying|notice|changelog|citation|contributing|requirements)\b"
    r"|cache-[^/]*\.arrow$",  # what `datasets.map` leaves in the folder it read
    re.IGNORECASE,
)
_SHARD: Final = re.compile(r"(.+)-\d{5}-of-\d{5}")
_NAMED: Final = 3

Rows = Iterator[Row | BadLine]


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """Which files of a folder are read.

    Attributes:
        files: those, by path.
        left_out: those that could be read and are not.
        reason: why they are not, and where several training splits are read, which; empty if
            there is nothing to say.
    """

    files: tuple[Path, ...]
    left_out: tuple[Path, ...]
    reason: str


def folder_files(path: Path | str) -> FolderFiles:
    """Return which files of a folder and of the folders in it are its rows.

    Hidden files and those that describe a data set (README, LICENSE, `dataset_info.json`) are
    passed over in silence. Texts are left out where files of rows stand beside them; so is what is
    held out for validation or test where something else is there, and, where a training split is
    named beside it, all that is not of it.

    Raises:
        OSError: the folder cannot be read.
    """
    path = paths.expand(path)
    found = _readable(path)
    texts = [file for file in found if kind_of(file) in TEXT]
    if len(texts) < len(found):
        rows = [file for file in found if kind_of(file) not in TEXT]
        why_text = f"{_names(texts, path)}: text beside files of rows" if texts else ""
    else:
        rows, texts, why_text = found, [], ""
    kept, why_split = _of_the_training_split(rows, path)
    reason = "; ".join(why for why in (why_split, why_text) if why)
    left_out = sorted({*found} - {*kept})
    return FolderFiles(tuple(kept), tuple(left_out), reason)


def read_folder(path: Path, read: Callable[[Path], Rows]) -> Rows:
    """Return the rows of all files of a folder, each with the file it comes from.

    A file that cannot be read at all is a bad line 1 of that file.

    Raises:
        DataError: no file in it can be read; at once.
        OSError: the folder cannot be read.
    """
    files = folder_files(path).files
    if not files:
        raise DataError(f"{path} is a folder without a file that is read. {READ_ARE}")
    unread: list[Row | BadLine] = []
    refusals: list[str] = []
    for number, file in enumerate(files):
        try:
            rows = read(file)
        except DataError as error:
            refusals.append(str(error))
            unread.append(_unreadable(path, file, error))
        else:
            first = _with_source(path, file, rows)
            return chain(unread, first, _read_all(path, files[number + 1 :], read))
    more = f", and so on for {len(files):,} files" if len(files) > 1 else ""
    raise DataError(f"no file in {path} can be read: {refusals[0]}{more}")


def _read_all(path: Path, files: tuple[Path, ...], read: Callable[[Path], Rows]) -> Rows:
    for file in files:
        try:
            rows = read(file)
        except DataError as error:
            yield _unreadable(path, file, error)
        else:
            yield from _with_source(path, file, rows)


def _with_source(path: Path, file: Path, rows: Rows) -> Rows:
    source = str(file.relative_to(path))
    try:
        for row in rows:
            if isinstance(row, Row):
                yield Row(row.line, row.values, source)
            else:
                yield replace(row, source=source)
    except DataError as error:  # what shows only once reading has begun: a header, for one
        yield _unreadable(path, file, error)


def _unreadable(path: Path, file: Path, error: DataError) -> BadLine:
    return BadLine(1, str(error), source=str(file.relative_to(path)))


def _readable(path: Path) -> list[Path]:
    """Return the files below ``path`` that hold rows by their names; links to folders not taken."""
    found = []
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            if name.startswith(".") or _ABOUT.match(name) or kind_of(file) not in READABLE:
                continue
            if file.is_file():
                found.append(file)
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _of_the_training_split(files: list[Path], path: Path) -> tuple[list[Path], str]:
    splits = {file: _split(file.relative_to(path)) for file in files}
    train = [file for file in files if splits[file] in _TRAIN]
    other = [file for file in files if not splits[file]]
    held_out = [file for file in files if splits[file] in _HELD_OUT]
    if not held_out or not (train or other):
        return files, ""
    if not train:
        return other, f"{_names(held_out, path)}: held out for validation or test by name"
    also = f"; {_names(other, path)}: of no split by name" if other else ""
    several = sorted({found[1] for file in train if (found := _SHARD.match(file.name))})
    read = "read is the training split"
    if len(several) > 1:
        read = f"read are several training splits, {', '.join(several)}: give one file to read one"
    return train, f"{read}; left out is {_names(held_out, path)}{also}"


def _split(file: Path) -> str:
    """Return the split that a path names, its folders first as in `datasets`; or nothing."""
    for part in file.parts:
        found = _SPLIT.search(part)
        if found:
            return found[1].lower()
    return ""


def _names(files: list[Path], path: Path) -> str:
    shown = [str(file.relative_to(path)) for file in files[:_NAMED]]
    more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
    return ", ".join(shown) + more
