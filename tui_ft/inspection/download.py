"""The process that fetches a data set: `python -m tui_ft.inspection.download ID --to FOLDER`.

It loads with `datasets`, which runs nobody's code, and writes one split as `rows.jsonl`: whole, or
not at all. How far it is, and how it ends, are JSON lines on stdout
(`tui_ft.data.files.hub_download`).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tui_ft import paths
from tui_ft.data.files.arrow_rows import read_table
from tui_ft.data.files.hub_download import (
    RECORD_FILE,
    ROWS_FILE,
    Done,
    Failed,
    Progress,
    Wanted,
    fetched,
)
from tui_ft.data.problems import BadLine
from tui_ft.hub.dataset_info import PARQUET_BRANCH, DatasetInfo, dataset_info
from tui_ft.hub.places import hub_cache
from tui_ft.hub.watching import bytes_in, watched
from tui_ft.inspection.download_failures import Refused, explain, listed, script_found

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder

Tell = Callable[[Progress | Done | Failed], None]

_LOOK_SECONDS: Final = 0.5
_UNFINISHED: Final = ".rows-"
_FLUSH: Final = 1 << 20


def download(wanted: Wanted, folder: Path, tell: Tell) -> Done:
    """Write the rows that are ``wanted`` to the folder; return what was written.

    Raises:
        Refused: they cannot be had, for a known reason.
        Exception: whatever `datasets` and its libraries raise; see `explain`.
    """
    with _prepared(folder):
        tell(Progress(what=f"asks for {wanted.id}"))
        facts = dataset_info(wanted.id, wanted.revision)
        _require_reachable(wanted, facts)
        builder = _builder(wanted, facts)
        split = _chosen(_splits(builder), wanted)
        with _watched(wanted, _size(facts, builder), tell):
            builder.download_and_prepare()
        # Files of which nobody said what they hold have their splits only now.
        split = _chosen(_splits(builder), wanted) or split
        assert split is not None
        dataset = builder.as_dataset(split=split, in_memory=False)
        return _write(dataset, folder, tell, _record(wanted, facts, builder, split, dataset))


def _require_reachable(wanted: Wanted, facts: DatasetInfo) -> None:
    """Refuse what cannot be had, and fall back to the cache at once where the Hub is out of reach.

    Raises:
        Refused: it is missing, needs permission, is a script, or is not cached.
    """
    if facts.script:
        raise _refusal(script_found(wanted, facts.script, has_parquet=facts.has_parquet))
    if facts.where in ("missing", "gated"):
        raise Refused(facts.reason or f"{wanted.id} cannot be had")
    if facts.where == "unknown":
        raise Refused(
            facts.reason or f"{wanted.id} cannot be had",
            "a local file can be given by its path",
        )
    if facts.where == "cached":
        # Else `datasets` would try for 23 s before it looks.
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"


def _refusal(failed: Failed) -> Refused:
    return Refused(failed.reason, failed.advice)


def _builder(wanted: Wanted, facts: DatasetInfo) -> DatasetBuilder:
    from datasets import load_dataset_builder

    # With the scheme, a folder of the same name here is not taken for it.
    address = f"hf://datasets/{wanted.id}"
    if wanted.revision == PARQUET_BRANCH:
        files = _converted(wanted, facts)
        return load_dataset_builder(address, data_files=files, revision=wanted.revision)
    builder = load_dataset_builder(address, wanted.config, revision=wanted.revision)
    if facts.where == "cached" and facts.commit not in (None, _commit(builder)):
        # Offline, `datasets` takes what it prepared last, whatever revision was asked for.
        raise Refused(
            f"the cache holds {wanted.id} at commit {_commit(builder)}, and not at "
            f"{wanted.revision or 'main'}",
            "fetch it where the Hub can be reached, or ask for that commit as the revision",
        )
    return builder


def _converted(wanted: Wanted, facts: DatasetInfo) -> dict[str, list[str]]:
    """Return split -> files of one config: `datasets` would take the rows of all for one.

    Raises:
        Refused: there is no such config, or there are several and none is the default.
    """
    configs = {config.name: config for config in facts.configs}
    names = list(configs)
    name = wanted.config or ("default" if "default" in names or len(names) != 1 else names[0])
    if name not in configs:
        raise Refused(
            f"{wanted.id} has no config `{name}`; it has {listed(names)}",
            "choose one with --config",
        )
    return {split.name: list(split.files) for split in configs[name].splits}


def _commit(builder: DatasetBuilder) -> str:
    return Path(builder.cache_dir).name


def _splits(builder: DatasetBuilder) -> list[str]:
    """Return the splits that are known so far."""
    known = builder.info.splits or getattr(builder.config, "data_files", None) or {}
    return [str(name) for name in known]


def _chosen(names: list[str], wanted: Wanted) -> str | None:
    """Return the split to take; None while none are known.

    Raises:
        Refused: it has no such split, or several of which none is `train`.
    """
    if not names:
        return None
    split = wanted.split or ("train" if "train" in names else names[0])
    if split not in names:
        raise Refused(
            f"{wanted.id} has no split `{split}`; it has {listed(names)}",
            "choose one with --split",
        )
    if wanted.split is None and split != "train" and len(names) > 1:
        raise Refused(
            f"{wanted.id} has no split `train`; it has {listed(names)}", "choose one with --split"
        )
    return split


def _size(facts: DatasetInfo, builder: DatasetBuilder) -> int | None:
    """Return the bytes to fetch: of all splits of the config, for `datasets` fetches all."""
    sizes = [
        split.size_bytes
        for config in facts.configs
        if config.name == builder.config.name
        for split in config.splits
    ]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else facts.size_bytes


def _watched(
    wanted: Wanted, total: int | None, tell: Tell
) -> contextlib.AbstractContextManager[None]:
    """Tell how much was fetched, by what is in the cache."""
    blobs = hub_cache() / f"datasets--{wanted.id.replace('/', '--')}" / "blobs"
    before = bytes_in(blobs)

    def show(there: int) -> None:
        done = there - before
        what = "prepares" if total and done >= total else "fetches"
        tell(Progress(what=f"{what} {wanted.id}", bytes=done, total=total))

    return watched(blobs, show)


@contextlib.contextmanager
def _prepared(folder: Path) -> Iterator[None]:
    """Hold the folder alone, without what a killed download left; remove it again if it is empty.

    Raises:
        Refused: it holds rows that are not ftui's to replace.
        OSError: it cannot be written.
    """
    is_new = not folder.exists()
    paths.make_private_dir(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        for left in folder.glob(f"{_UNFINISHED}*"):
            left.unlink(missing_ok=True)
        rows = folder / ROWS_FILE
        if rows.exists() and fetched(rows) is None:
            raise Refused(
                f"{rows} was not downloaded by ftui, and is not replaced", "give another folder"
            )
        yield
    finally:
        os.close(handle)
        if is_new:
            with contextlib.suppress(OSError):  # it holds the rows
                folder.rmdir()


def _record(
    wanted: Wanted, facts: DatasetInfo, builder: DatasetBuilder, split: str, dataset: Dataset
) -> Done:
    from tui_ft.inspection.download_values import notes

    others = tuple(name for name in _splits(builder) if name != split)
    said = list(notes(dataset.features))
    if others:
        said.insert(0, f"the split `{split}` was taken; others are {listed(list(others))}")
    config = wanted.config or builder.config.name
    if wanted.config is None and config != "default" and wanted.revision != PARQUET_BRANCH:
        said.insert(0, f"the config `{config}` was taken")
    if facts.where == "cached" and facts.reason:
        said.insert(0, facts.reason)
    return Done(
        path="",
        rows=len(dataset),
        wanted=wanted,
        split=split,
        config=config,
        commit=facts.commit or _commit(builder),
        others=others,
        notes=tuple(said),
    )


def _write(dataset: Dataset, folder: Path, tell: Tell, record: Done) -> Done:
    """Write the rows beside their place, and move them there when they are whole."""
    import orjson

    unfinished = folder / f"{_UNFINISHED}{os.getpid()}"
    target = folder / ROWS_FILE
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    rows = size = 0
    told = time.monotonic()
    try:
        with os.fdopen(os.open(unfinished, flags, paths.PRIVATE_FILE), "wb", _FLUSH) as file:
            for values in _values(dataset):
                size += file.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
                rows += 1
                if time.monotonic() - told > _LOOK_SECONDS:
                    told = time.monotonic()
                    tell(Progress(what=f"writes {record.rows:,} rows", bytes=size, rows=rows))
            file.flush()
            os.fsync(file.fileno())
        if rows != len(dataset):
            raise Refused(f"only {rows:,} of {len(dataset):,} rows could be read; fetch it again")
        done = msgspec.structs.replace(record, path=str(target), rows=rows)
        # In this order a kill leaves no rows beside the record of others.
        target.unlink(missing_ok=True)
        paths.write_atomically(folder / RECORD_FILE, msgspec.json.encode(done))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return done


def _values(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the rows' values, out of the files in which `datasets` keeps them."""
    from tui_ft.inspection.download_values import changed, changes

    how = changes(dataset.features)
    for file in dataset.cache_files:
        for row in read_table(Path(file["filename"]), ".arrow"):
            if isinstance(row, BadLine):
                raise Refused(f"row {row.line:,} cannot be read: {row.reason}")
            yield changed(row.values, how)


def _asked(arguments: list[str]) -> tuple[Wanted, Path]:
    parser = argparse.ArgumentParser(prog="python -m tui_ft.inspection.download")
    parser.add_argument("id")
    for name in ("--split", "--config", "--revision"):
        parser.add_argument(name)
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args(arguments)
    wanted = Wanted(id=given.id, split=given.split, config=given.config, revision=given.revision)
    return wanted, given.to.absolute()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Download what the arguments say; return the exit code."""
    wanted, folder = _asked(arguments)
    signal.signal(signal.SIGTERM, _stop)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"
    # Whatever a library prints goes to stderr: the lines on stdout are for a program.
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(said: Progress | Done | Failed) -> None:
        try:
            os.write(out, msgspec.json.encode(said) + b"\n")
        except BrokenPipeError:
            # Nobody listens any more. From the watching thread the main one has to be told.
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        done = download(wanted, folder, tell)
    except Exception as error:
        traceback.print_exc()
        tell(explain(error, wanted))
        return 1
    tell(done)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
