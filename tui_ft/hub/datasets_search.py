"""Data sets on the Hub that fit some words, with what one chooses by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tui_ft.hub.listing import (
    HubAnswer,
    HubEntry,
    common_fields,
    name_of,
    number,
    search,
    shown,
    tagged,
    tags_of,
)

_FORMAT: Final = "format:"
_SIZE: Final = "size_categories:"
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class HubDataset(HubEntry):
    """A data set as the Hub lists it.

    Attributes:
        size_bytes: what has to be downloaded, for all configs.
        rows: in all configs and splits, where its page counts them.
        rows_class: their order of magnitude as its page says it: `10K<n<100K`.
        description: its beginning, on one line.
    """

    size_bytes: int | None = None
    rows: int | None = None
    rows_class: str | None = None
    description: str = ""

    @property
    def formats(self) -> tuple[str, ...]:
        """The kinds of its files, such as `json` and `parquet`, where the Hub knows them."""
        return tuple(tag.removeprefix(_FORMAT) for tag in self.tags if tag.startswith(_FORMAT))


def search_datasets(
    query: str,
    limit: int = 20,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> HubAnswer[HubDataset]:
    """Return the data sets whose id holds ``query``; see `listing.search`."""
    return search("/api/datasets", query, limit, {"full": "true"}, _dataset, environ, transport)


def _dataset(entry: Mapping[str, Any]) -> HubDataset | None:
    """Return an entry of the answer; None where it has no usable id."""
    name = name_of(entry)
    if name is None:
        return None
    download, rows = card_sizes(entry.get("cardData"))
    return HubDataset(
        id=name,
        size_bytes=download,
        rows=rows,
        rows_class=tagged(tags_of(entry), _SIZE),
        description=shown(entry.get("description"), _LONGEST),
        **common_fields(entry),
    )


def card_sizes(card: object) -> tuple[int | None, int | None]:
    """Return bytes to download and rows, over all configs that a card counts; None if none."""
    infos = card.get("dataset_info") if isinstance(card, dict) else None
    listed = [infos] if isinstance(infos, dict) else infos if isinstance(infos, list) else []
    configs = [info for info in listed if isinstance(info, dict)]
    sizes = [number(config.get("download_size")) for config in configs]
    counts = [
        number(split.get("num_examples"))
        for config in configs
        if isinstance(splits := config.get("splits"), list)
        for split in splits
        if isinstance(split, dict)
    ]
    return _total(sizes), _total(counts)


def _total(counts: list[int | None]) -> int | None:
    """Return the sum. A part that nobody counted would make it wrong: then there is none."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
