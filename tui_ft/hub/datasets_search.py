"""Data sets on the Hub that fit some words, with what one chooses by."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tui_ft import text
from tui_ft.hub import client

_KEPT: Final = 64
_KEPT_SECONDS: Final = 300.0
_SHORTEST_QUERY: Final = 2
_LICENCE: Final = "license:"
_FORMAT: Final = "format:"
_SIZE: Final = "size_categories:"
_MOST: Final = 100
_LONGEST: Final = 300
_LONGEST_TAG: Final = 100


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A data set as the Hub lists it. Its texts are harmless to show.

    Attributes:
        downloads: in the last 30 days.
        gated: False; `auto` or `manual` where access has to be asked for.
        licence: the Hub's short name, such as `apache-2.0`; several are joined by commas.
        size_bytes: what has to be downloaded, for all configs.
        rows: in all configs and splits, where its page counts them.
        rows_class: their order of magnitude as its page says it: `10K<n<100K`.
        last_modified: ISO 8601, in UTC.
        description: its beginning, on one line.
    """

    id: str
    downloads: int | None = None
    likes: int | None = None
    gated: bool | str = False
    private: bool = False
    licence: str | None = None
    size_bytes: int | None = None
    rows: int | None = None
    rows_class: str | None = None
    last_modified: str | None = None
    tags: tuple[str, ...] = ()
    description: str = ""

    @property
    def formats(self) -> tuple[str, ...]:
        """The kinds of its files, such as `json` and `parquet`, where the Hub knows them."""
        return tuple(tag.removeprefix(_FORMAT) for tag in self.tags if tag.startswith(_FORMAT))


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What was found; or nothing, and why the Hub could not be asked."""

    found: tuple[HubDataset, ...] = ()
    problem: str | None = None


def search_datasets(
    query: str,
    limit: int = 20,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> SearchAnswer:
    """Return the data sets whose id holds ``query``, most downloaded first.

    Never raises, and takes 5 seconds at most.

    Args:
        limit: how many at most, up to 100.
        environ: honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and where else tokens are kept.
        transport: how the Hub is reached; httpx's own when None.
    """
    if client.is_offline(environ):
        return SearchAnswer(
            problem="HF_HUB_OFFLINE forbids to ask the Hub: unset it to search; a data set in the "
            "cache can be used by its id"
        )
    parameters = {
        "search": query.strip().encode(errors="replace").decode(),
        "limit": str(max(1, min(limit, _MOST))),
        "full": "true",
        "sort": "downloads",
    }
    answer = client.ask("/api/datasets", parameters, environ, transport)
    if isinstance(answer, client.Silence) or answer.status != httpx.codes.OK:
        return SearchAnswer(problem=client.complaint(answer, environ))
    try:
        entries = json.loads(answer.body)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return SearchAnswer(problem=client.nonsense(environ))
    read = (_dataset(entry) for entry in entries[:_MOST])
    return SearchAnswer(tuple(found for found in read if found is not None))


class SearchMemory:
    """Answers to searches, kept for some minutes, so that a letter taken back asks nobody.

    Args:
        search: what asks the Hub.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        search: Callable[[str], SearchAnswer] = search_datasets,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._search, self._clock = search, clock
        self._answers: dict[str, tuple[float, SearchAnswer]] = {}

    def known(self, query: str) -> SearchAnswer | None:
        """Return the answer to ``query``, if it was asked for lately."""
        at, answer = self._answers.get(query.strip(), (0.0, None))
        return answer if answer is not None and self._clock() - at < _KEPT_SECONDS else None

    def find(self, query: str) -> SearchAnswer:
        """Return the answer, the Hub's if none is known; what went wrong is tried again."""
        known = self.known(query)
        if known is not None:
            return known
        answer = self._search(query.strip())
        if answer.problem is None:
            while len(self._answers) >= _KEPT:
                self._answers.pop(next(iter(self._answers)), None)
            self._answers[query.strip()] = (self._clock(), answer)
        return answer


def may_be_named(typed: str) -> bool:
    """Return whether what was typed can be the beginning of a name on the Hub, and is no path."""
    said = typed.strip()
    return len(said) >= _SHORTEST_QUERY and not said.startswith(("/", "~", "."))


def _dataset(entry: Any) -> HubDataset | None:  # noqa: ANN401 - whatever came
    """Return an entry of the answer; None where it has no usable id."""
    name = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not client.ID.fullmatch(name):
        return None
    tags = tags_of(entry)
    download, rows = card_sizes(entry.get("cardData"))
    return HubDataset(
        id=name,
        downloads=number(entry.get("downloads")),
        likes=number(entry.get("likes")),
        gated=gated(entry.get("gated")),
        private=entry.get("private") is True,
        licence=licence(tags),
        size_bytes=download,
        rows=rows,
        rows_class=_tagged(tags, _SIZE) or None,
        last_modified=shown(entry.get("lastModified"), 40) or None,
        tags=tags,
        description=shown(entry.get("description"), _LONGEST),
    )


def tags_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a data set in the Hub's answer."""
    tags = entry.get("tags")
    if not isinstance(tags, list):
        return ()
    return tuple(shown(tag, _LONGEST_TAG) for tag in tags if isinstance(tag, str))


def licence(tags: tuple[str, ...]) -> str | None:
    """Return the licences among the tags."""
    return _tagged(tags, _LICENCE) or None


def gated(value: object) -> bool | str:
    """Return how access is granted: freely (False), or as the Hub says it."""
    return shown(value, _LONGEST_TAG) if isinstance(value, str) else value is True


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


def number(value: object) -> int | None:
    """Return a count of the Hub's answer; None where it is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count and isinstance(value, int) else None


def shown(value: object, width: int) -> str:
    """Return a text of the Hub's answer, harmless and on one line; empty where it is none."""
    return text.one_line(value, width) if isinstance(value, str) else ""


def _total(counts: list[int | None]) -> int | None:
    """Return the sum. A part that nobody counted would make it wrong: then there is none."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _tagged(tags: tuple[str, ...], prefix: str) -> str:
    return ", ".join(tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix))
