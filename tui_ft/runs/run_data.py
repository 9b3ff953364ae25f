"""The data of a run that are on the Hub: which they are, fetching them, and where they then lie.

`run.yaml` keeps the id. What it was when the run began (the commit, the file of rows) stands in
`data.json` beside it, so that a run that is resumed goes on with the rows it began with, whatever
has become of the data set on the Hub meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from tui_ft import paths
from tui_ft.data.files.hub_download import Cancelled, Progress, Wanted, fetch_dataset, fetched
from tui_ft.data.problems import DataError
from tui_ft.hub.dataset_info import PARQUET_BRANCH, is_dataset_id
from tui_ft.runs.folder import RunError, RunFolder
from tui_ft.spec import RunSpec

Use = Literal["train", "eval"]
"""What the rows are for: the name of the field in `data`."""

FILE: Final = "data.json"


class RunData(msgspec.Struct, frozen=True):
    """A data set of the Hub as a run took it.

    Attributes:
        path: the file of rows.
        notes: what one should know of the rows, in sentences.
    """

    id: str
    path: str
    commit: str | None
    config: str
    split: str
    notes: tuple[str, ...] = ()


def wanted_of(spec: RunSpec) -> dict[Use, Wanted]:
    """Return the data of a run that are on the Hub.

    `data.config` and `data.revision` are of the training data, and of evaluation data that are of
    the same data set.
    """
    data, found = spec.data, dict[Use, Wanted]()
    if is_dataset_id(data.train):
        found["train"] = Wanted(
            id=data.train, split=data.train_split, config=data.config, revision=data.revision
        )
    if data.eval is not None and is_dataset_id(data.eval):
        same = data.eval == data.train
        found["eval"] = Wanted(
            id=data.eval,
            split=data.eval_split,
            config=data.config if same else None,
            revision=data.revision if same else None,
        )
    return found


def bring_data(
    folder: RunFolder | None,
    spec: RunSpec,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> tuple[RunSpec, tuple[str, ...]]:
    """Fetch what is on the Hub and not here yet; return the run with files, and notes on them.

    Args:
        folder: the run's, which keeps what was taken; None for a run that has not begun.
        spec: the run.
        progress: called with every step.
        cancelled: asked ten times a second.

    Raises:
        Cancelled: ``cancelled`` said so.
        RunError: it cannot be had, and what to do.
        OSError: the run's folder cannot be written.
    """
    wanted = wanted_of(spec)
    if not wanted:
        return spec, ()
    before = {} if folder is None else _recorded(folder)
    brought = {
        use: _brought(one, before.get(use), progress, cancelled) for use, one in wanted.items()
    }
    if folder is not None:
        paths.write_atomically(folder.path / FILE, msgspec.json.encode(brought))
    notes = [f"{one.id}: {note}" for one in brought.values() for note in one.notes]
    return _with_files(spec, brought), tuple(dict.fromkeys(notes))


def with_files(folder: RunFolder, spec: RunSpec) -> RunSpec:
    """Return the run with the files of rows that were fetched for it in place of ids.

    Raises:
        RunError: they have not been fetched.
    """
    wanted = wanted_of(spec)
    if not wanted:
        return spec
    recorded = _recorded(folder)
    missing = [one.id for use, one in wanted.items() if not _is_there(recorded.get(use))]
    if missing:
        raise RunError(f"{missing[0]} has not been fetched for {folder.id}")
    return _with_files(spec, recorded)


def _brought(
    wanted: Wanted,
    before: RunData | None,
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> RunData:
    if before is not None and before.id == wanted.id:
        if _is_there(before):
            return before
        if before.commit and wanted.revision != PARQUET_BRANCH:
            wanted = msgspec.structs.replace(wanted, revision=before.commit)
    try:
        path = fetch_dataset(
            wanted.id,
            split=wanted.split,
            config=wanted.config,
            revision=wanted.revision,
            progress=progress,
            cancelled=cancelled,
        )
    except Cancelled:
        raise
    except DataError as error:
        raise RunError(str(error)) from None
    done = fetched(path)
    if done is None:
        raise RunError(f"{path} was removed as soon as it was fetched: start the run again")
    return RunData(wanted.id, str(path), done.commit, done.config, done.split, done.notes)


def _is_there(one: RunData | None) -> bool:
    """Return whether the rows are still those that were fetched then."""
    record = None if one is None else fetched(Path(one.path))
    return one is not None and record is not None and record.commit == one.commit


def _recorded(folder: RunFolder) -> dict[Use, RunData]:
    try:
        return msgspec.json.decode((folder.path / FILE).read_bytes(), type=dict[Use, RunData])
    except (OSError, msgspec.MsgspecError):
        return {}


def _with_files(spec: RunSpec, brought: Mapping[Use, RunData]) -> RunSpec:
    files = {str(use): brought[use].path for use in wanted_of(spec)}
    return spec.model_copy(update={"data": spec.data.model_copy(update=files)})
