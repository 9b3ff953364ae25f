"""Configs, splits and their files, out of what the Hub says of a data set."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from tui_ft.hub.listing import number, shown

LONGEST_NAME: Final = 100

DATA: Final = frozenset(
    (".parquet", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".arrow", ".xml", ".tar")
)
PACKED: Final = frozenset((".gz", ".zst", ".bz2", ".xz", ".zip"))
_NO_DATA: Final = frozenset(("config.json", "dataset_info.json", "dataset_infos.json"))
# As datasets.data_files.SPLIT_KEYWORDS: by these words the library itself tells splits apart.
_SPLIT_WORDS: Final = (
    ("train", ("train", "training")),
    ("validation", ("validation", "valid", "dev", "val")),
    ("test", ("test", "testing", "eval", "evaluation")),
)


@dataclass(frozen=True, slots=True)
class HubSplit:
    """A split.

    Attributes:
        files: their names in the repository; empty where the Hub does not say.
        size_bytes: of these files.
    """

    name: str
    files: tuple[str, ...] = ()
    size_bytes: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class HubConfig:
    """A config (the Hub's page says `subset`) and its splits."""

    name: str
    splits: tuple[HubSplit, ...] = ()


def configs_of(
    card: object,
    parquet: Mapping[str, Mapping[str, Sequence[str]]],
    sizes: Mapping[str, int | None],
) -> tuple[HubConfig, ...]:
    """Return configs and splits: as the page names them, as the Hub converts them, by file names.

    The order in which `datasets` decides, except that it never looks at the conversion.
    """
    files = [file for file in sizes if is_data(file)]
    named = _named_in_card(card, files)
    if not named:
        named = {
            config: {split: list(map(_converted_name, found)) for split, found in splits.items()}
            for config, splits in parquet.items()
        }
    if not named and files:
        named = {"default": _by_name(files)}
    return as_configs(named, _rows_in_card(card), sizes)


def sizes_of(siblings: Iterable[Any]) -> dict[str, int | None]:
    """Return the files of the Hub's answer and their sizes."""
    return {
        name: number(file.get("size"))
        for file in siblings
        if isinstance(file, dict) and isinstance(name := file.get("rfilename"), str)
    }


def as_configs(
    named: Mapping[str, Mapping[str, Sequence[str]]],
    rows: Mapping[tuple[str, str], int | None],
    sizes: Mapping[str, int | None],
) -> tuple[HubConfig, ...]:
    """Return the configs that are ``named``: config -> split -> files."""
    return tuple(
        HubConfig(
            shown(config, LONGEST_NAME),
            tuple(
                HubSplit(
                    shown(split, LONGEST_NAME),
                    tuple(shown(file, LONGEST_NAME * 2) for file in files),
                    total(sizes.get(file) for file in files),
                    rows.get((config, split)),
                )
                for split, files in splits.items()
            ),
        )
        for config, splits in named.items()
    )


def by_folder(files: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Return the files of `PARQUET_BRANCH`, which are called `config/split/0000.parquet`."""
    named: dict[str, dict[str, list[str]]] = {}
    for file in files:
        config, *split = PurePosixPath(file).parts[:-1] or ("",)
        if split and file.endswith(".parquet"):
            named.setdefault(config, {}).setdefault(split[0], []).append(file)
    return named


def _named_in_card(card: object, files: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Return the configs of a card's `configs`: name -> split -> files."""
    named: dict[str, dict[str, list[str]]] = {}
    for config in _objects(card.get("configs") if isinstance(card, dict) else None):
        name = str(config.get("config_name", "default"))
        splits = named.setdefault(name, {})
        given = config.get("data_files")
        if isinstance(given, str) or (isinstance(given, list) and not _objects(given)):
            given = [{"split": "train", "path": given}]
        for part in _objects(given):
            patterns = part.get("path")
            asked = [patterns] if isinstance(patterns, str) else patterns
            wanted = [it for it in asked if isinstance(it, str)] if isinstance(asked, list) else []
            splits[str(part.get("split", "train"))] = [
                file for file in files if any(fnmatch.fnmatchcase(file, it) for it in wanted)
            ]
        if not splits:
            folder = config.get("data_dir")
            inside = [it for it in files if not folder or it.startswith(f"{folder}/")]
            splits.update(_by_name(inside))
    return named


def _rows_in_card(card: object) -> dict[tuple[str, str], int | None]:
    infos = card.get("dataset_info") if isinstance(card, dict) else None
    return {
        (str(info.get("config_name", "default")), str(split.get("name"))): number(
            split.get("num_examples")
        )
        for info in _objects([infos] if isinstance(infos, dict) else infos)
        for split in _objects(info.get("splits"))
    }


def _by_name(files: Sequence[str]) -> dict[str, list[str]]:
    """Return split -> files by the words in their names; all are `train` where none has any."""
    found = {
        split: matching
        for split, words in _SPLIT_WORDS
        if (matching := [file for file in files if _has_word(file, words)])
    }
    return found or {"train": list(files)}


def _has_word(file: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"(?:^|[-._ 0-9/]){word}(?:[-._ 0-9/]|$)", file) for word in words)


def is_data(file: str) -> bool:
    """Return whether a file of a repository holds rows, by its name."""
    path = PurePosixPath(file)
    suffix = path.suffix.lower()
    inner = PurePosixPath(path.stem).suffix.lower() if suffix in PACKED - {".zip"} else suffix
    return (inner in DATA or suffix == ".zip") and path.name not in _NO_DATA


def _converted_name(address: str) -> str:
    """Return a converted file's name of its address: `config/split/0.parquet`."""
    return unquote("/".join(address.rsplit("/", 3)[1:]))


def _objects(value: object) -> list[dict[str, Any]]:
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []


def total(sizes: Iterable[int | None]) -> int | None:
    """Return the sum, None where a part of it is not known."""
    listed = list(sizes)
    known = [size for size in listed if size is not None]
    return sum(known) if known and len(known) == len(listed) else None
