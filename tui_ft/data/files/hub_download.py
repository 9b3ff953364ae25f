"""A data set of the Hub brought to this machine as JSONL, by a process of its own.

The process (`tui_ft.inspection.download`) says how far it is in JSON lines; here it is started,
listened to and, when nobody wants it any more, ended.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import msgspec

from tui_ft import paths, text
from tui_ft.data.problems import DataError
from tui_ft.hub.client import ID
from tui_ft.hub.dataset_info import dataset_commit

ROWS_FILE: Final = "rows.jsonl"
RECORD_FILE: Final = ".download.json"

_LOOK_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 10.0
_SHORT: Final = 12


class Cancelled(DataError):
    """Nobody wanted it any more."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of which data set; None leaves the choice to the data set."""

    id: str
    split: str | None = None
    config: str | None = None
    revision: str | None = None


class Progress(msgspec.Struct, frozen=True, tag="progress", kw_only=True):
    """How far it is.

    Attributes:
        what: what is being done, as people read it.
        bytes: done so far; of ``total``, where that is known.
        rows: written so far.
    """

    what: str
    bytes: int = 0
    total: int | None = None
    rows: int | None = None


class Done(msgspec.Struct, frozen=True, tag="done", kw_only=True):
    """What was written, and of what; kept beside the rows as `.download.json`.

    Attributes:
        path: the file of rows.
        commit: which commit of the data set they are of, when that is known.
        others: the splits that were not taken.
        notes: what one should know of the rows, in sentences.
    """

    path: str
    rows: int
    wanted: Wanted
    split: str
    config: str
    commit: str | None = None
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed", kw_only=True):
    """Why there are no rows, and what to do."""

    reason: str
    advice: str = ""


def fetch_dataset(
    id: str,
    *,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    to: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Return the file of a data set's rows, fetched unless the same revision is here already.

    Args:
        id: `owner/name` or `name`.
        split: by default `train`, or the only one.
        config: by default the data set's own default.
        revision: branch, tag or commit.
        to: the folder to write to; by default one below `datasets` in ftui's home.
        progress: called in this thread with every step.
        cancelled: asked ten times a second; once it says so, the process is ended.

    Raises:
        Cancelled: ``cancelled`` said so.
        DataError: why it cannot be had, and what to do.
    """
    if not ID.fullmatch(id):
        raise DataError(f"`{text.one_line(id, 80)}` is no data set's id; one is `owner/name`")
    wanted = Wanted(id=id, split=split, config=config, revision=revision)
    commit = dataset_commit(id, revision, environ=environ)
    folder = _folder(wanted, commit) if to is None else paths.expand(to).absolute()
    here = on_this_machine(wanted, commit) if to is None else _already_in([folder], wanted, commit)
    if here is not None:
        return here
    return _run(wanted, folder, progress, cancelled, environ)


def fetched(rows: Path) -> Done | None:
    """Return what the file ``rows`` was downloaded from; None if it was not, or was changed away.

    Never raises.
    """
    try:
        record = (rows.parent / RECORD_FILE).read_bytes()
        return msgspec.json.decode(record, type=Done) if rows.is_file() else None
    except (OSError, ValueError):
        return None


def on_this_machine(wanted: Wanted, commit: str | None) -> Path | None:
    """Return the rows that were fetched before; of a commit that is not known, the newest."""
    folder = _folder(wanted, commit)
    folders = [folder]
    if commit is None:
        pattern = quote(_choice(wanted), safe="") + "@*"
        with contextlib.suppress(OSError):
            found = folder.parent.glob(pattern)
            folders += sorted(found, key=lambda it: it.stat().st_mtime, reverse=True)
    return _already_in(folders, wanted, commit)


def _folder(wanted: Wanted, commit: str | None) -> Path:
    version = commit[:_SHORT] if commit else wanted.revision or "main"
    name = "@".join(quote(part, safe="") for part in (_choice(wanted), version))
    return paths.home() / "datasets" / wanted.id.replace("/", "--") / name


def _choice(wanted: Wanted) -> str:
    return f"{wanted.config or 'default'}-{wanted.split or 'auto'}"


def _already_in(folders: Iterable[Path], wanted: Wanted, commit: str | None) -> Path | None:
    for folder in folders:
        rows = folder / ROWS_FILE
        record = fetched(rows)
        if record is None or record.wanted != wanted:
            continue
        if commit in (None, record.commit):
            return rows
    return None


def _run(
    wanted: Wanted,
    folder: Path,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
    environ: Mapping[str, str],
) -> Path:
    command = [sys.executable, "-P", "-m", "tui_ft.inspection.download", wanted.id]
    for name in ("split", "config", "revision"):
        value = getattr(wanted, name)
        command += [f"--{name}={value}"] if value is not None else []
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [*command, "--to", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environ),
            )
        except (OSError, ValueError) as error:
            raise DataError(f"the download cannot be started: {error}") from None
        try:
            end = _listen(process, progress, cancelled)
        finally:
            _end(process)
        if end is None:
            raise DataError(f"the download ended before its time: {_last_words(errors)}")
    if isinstance(end, Failed):
        raise DataError(f"{end.reason}: {end.advice}" if end.advice else end.reason)
    return Path(end.path)


def _listen(
    process: subprocess.Popen[bytes],
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Done | Failed | None:
    """Return how it ended; None if it did not say."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True, name="ftui-download").start()
    end: Done | Failed | None = None
    while not cancelled():
        try:
            line = lines.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return end
        try:
            said = msgspec.json.decode(line, type=Progress | Done | Failed)
        except ValueError:
            continue
        if isinstance(said, Progress):
            progress(said)
        else:
            end = said
    raise Cancelled("the download was cancelled; what was fetched so far is kept in the cache")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it: with time to clean up after itself, and without if it takes none."""
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    return text.one_line(lines[-1], 300) if lines else "it was killed (out of memory?)"
