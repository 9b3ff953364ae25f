"""What is known of a run's data on the Hub before they are fetched, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tui_ft import text
from tui_ft.data.files.hub_download import Wanted
from tui_ft.hub.dataset_configs import HubConfig, HubSplit, total
from tui_ft.hub.dataset_info import PARQUET_BRANCH, DatasetInfo

COPIES: Final = 3
"""What is fetched lies on disk as it came, as the tables `datasets` makes, and as rows."""

_MOST_NAMES: Final = 12


def why_not(wanted: Wanted, info: DatasetInfo, split_field: str) -> tuple[str, str] | None:
    """Return why the rows cannot be had and what to do; None when nothing stands against it.

    Args:
        split_field: the field that names the split: `data.train_split` or `data.eval_split`.
    """
    if info.script:
        way = "look for a copy as Parquet with `ftui datasets`"
        if info.has_parquet:
            way = f"take the Hub's own conversion: data.revision: {PARQUET_BRANCH}"
        return f"{wanted.id} is a program ({info.script}), and no program is run for data", way
    if info.where in ("missing", "gated"):
        return (
            f"{info.reason or f'{wanted.id} cannot be had'}; nor is there a file or folder of "
            "that name here",
            "set the data to a file, a folder or a data set's id",
        )
    if info.where == "unknown":
        reason = info.reason or f"{wanted.id} cannot be asked for"
        return reason, "fetch it where the Hub can be reached, or give a local file"
    return _no_such_config(wanted, info) or _no_such_split(wanted, info, split_field)


def said(wanted: Wanted, info: DatasetInfo) -> str:
    """Return what will be fetched."""
    chosen = _split(wanted, info)
    config = f"config {wanted.config}, " if wanted.config else ""
    split = f"split {wanted.split or (chosen.name if chosen else 'train')}"
    rows = info.rows if chosen is None else chosen.rows
    counted = f", {rows:,} rows" if rows is not None else ""
    if info.where == "cached":
        return f"{wanted.id} ({config}{split}{counted}) comes out of the cache: {info.reason}"
    size = text.size(size_of(wanted, info))
    return f"{wanted.id} ({config}{split}) is fetched from the Hub first ({size}{counted})"


def size_of(wanted: Wanted, info: DatasetInfo) -> int | None:
    """Return the bytes to fetch: all splits of the config, for `datasets` fetches all."""
    config = _config(wanted, info)
    size = None if config is None else total(split.size_bytes for split in config.splits)
    return info.size_bytes if size is None else size


def _no_such_config(wanted: Wanted, info: DatasetInfo) -> tuple[str, str] | None:
    names = [config.name for config in info.configs]
    # `default` alone may be no more than what the names of the files say.
    if wanted.config is None or wanted.config in names or names in ([], ["default"]):
        return None
    return f"{wanted.id} has no config `{wanted.config}`; it has {_listed(names)}", (
        "choose one with data.config"
    )


def _no_such_split(wanted: Wanted, info: DatasetInfo, field: str) -> tuple[str, str] | None:
    config = _config(wanted, info)
    names = [split.name for split in config.splits] if config else []
    if not names or _split(wanted, info) is not None:
        return None
    asked = f"no split `{wanted.split or 'train'}`"
    return f"{wanted.id} has {asked}; it has {_listed(names)}", f"choose one with {field}"


def _config(wanted: Wanted, info: DatasetInfo) -> HubConfig | None:
    """Return the config that will be taken; None where that is for `datasets` to find out."""
    configs = {config.name: config for config in info.configs}
    if wanted.config is not None:
        return configs.get(wanted.config)
    return next(iter(configs.values())) if len(configs) == 1 else configs.get("default")


def _split(wanted: Wanted, info: DatasetInfo) -> HubSplit | None:
    config = _config(wanted, info)
    splits = {split.name: split for split in config.splits} if config else {}
    if wanted.split is None and len(splits) == 1:
        return next(iter(splits.values()))
    return splits.get(wanted.split or "train")


def _listed(names: Iterable[str]) -> str:
    given = list(names)
    more = len(given) - _MOST_NAMES
    shown = ", ".join(text.one_line(name, 60) for name in given[:_MOST_NAMES])
    return f"{shown} and {more:,} more" if more > 0 else shown
