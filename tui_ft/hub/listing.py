"""What the Hub lists: an answer to a search, and how the entries of its JSON are read.

Whatever came is read: an entry without a usable id is left out, a field that makes no sense is None
or empty, and every text is harmless to show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import httpx

from tui_ft import text
from tui_ft.hub import client
from tui_ft.hub.kept_answers import ask_or_remember

MOST: Final = 100
"""Entries in one answer."""
_SHORTEST_QUERY: Final = 2
_LICENCE: Final = "license:"
_LONGEST_TAG: Final = 100

Found_co = TypeVar("Found_co", covariant=True)


@dataclass(frozen=True, slots=True)
class HubEntry:
    """What the Hub says of models and data sets alike. Its texts are harmless to show.

    Attributes:
        downloads: in the last 30 days.
        gated: False; `auto` or `manual` where access has to be asked for.
        licence: the Hub's short name, such as `apache-2.0`; several are joined by commas.
        last_modified: ISO 8601, in UTC.
    """

    id: str
    downloads: int | None = None
    likes: int | None = None
    gated: bool | str = False
    private: bool = False
    licence: str | None = None
    last_modified: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HubAnswer(Generic[Found_co]):
    """What was found, and why it is not news.

    Attributes:
        found: most downloaded first.
        problem: why the Hub could not be asked; with an older answer, it is in `found`.
        age_s: how old the answer is, in seconds.
    """

    found: tuple[Found_co, ...] = ()
    problem: str | None = None
    age_s: float = 0.0

    @property
    def warning(self) -> str | None:
        """Why the Hub could not be asked, and how old what stands in is; None when it was asked."""
        if self.problem is None or not self.found:
            return self.problem
        return f"{self.problem}; this is its answer of {text.age(self.age_s)} ago"


def search(
    path: str,
    query: str,
    limit: int,
    asked_for: Mapping[str, str | Sequence[str]],
    read: Callable[[dict[str, Any]], Found_co | None],
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> HubAnswer[Found_co]:
    """Return what the Hub lists whose id holds ``query``, most downloaded first.

    Answers are kept for ten minutes, and longer for when the Hub cannot be asked. Never raises, and
    takes 5 seconds at most.

    Args:
        path: of the list, below the endpoint.
        query: words of an id.
        limit: how many at most, up to 100.
        asked_for: further parameters of the question.
        read: makes an entry of the JSON object of one; None where it has no use.
        environ: honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and where else tokens are kept.
        transport: how the Hub is reached; httpx's own when None.
    """
    parameters = {
        "search": query.strip().encode(errors="replace").decode(),
        "limit": str(max(1, min(limit, MOST))),
        "sort": "downloads",
        **asked_for,
    }
    answer = ask_or_remember(path, parameters, environ, transport)
    if answer.body is None:
        return HubAnswer(problem=answer.problem)
    try:
        entries = json.loads(answer.body)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return HubAnswer(problem=client.nonsense(environ))
    made = (read(entry) for entry in entries[:MOST] if isinstance(entry, dict))
    return HubAnswer(tuple(one for one in made if one is not None), answer.problem, answer.age_s)


def may_be_named(typed: str) -> bool:
    """Return whether what was typed can be the beginning of a name on the Hub, and is no path."""
    said = typed.strip()
    return len(said) >= _SHORTEST_QUERY and not said.startswith(("/", "~", "."))


def name_of(entry: Mapping[str, Any]) -> str | None:
    """Return the id of an entry; None where it has no usable one."""
    name = entry.get("id")
    return name if isinstance(name, str) and client.ID.fullmatch(name) else None


def tags_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of an entry."""
    tags = entry.get("tags")
    if not isinstance(tags, list):
        return ()
    return tuple(shown(tag, _LONGEST_TAG) for tag in tags if isinstance(tag, str))


def tagged(tags: tuple[str, ...], prefix: str) -> str | None:
    """Return what stands behind ``prefix`` in the tags that begin so, joined by commas."""
    return ", ".join(tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)) or None


def common_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `HubEntry` but its id."""
    tags = tags_of(entry)
    gated = entry.get("gated")
    return {
        "downloads": number(entry.get("downloads")),
        "likes": number(entry.get("likes")),
        "gated": shown(gated, _LONGEST_TAG) if isinstance(gated, str) else gated is True,
        "private": entry.get("private") is True,
        "licence": tagged(tags, _LICENCE),
        "last_modified": shown(entry.get("lastModified"), 40) or None,
        "tags": tags,
    }


def number(value: object) -> int | None:
    """Return a count of the Hub's answer; None where it is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count and isinstance(value, int) else None


def shown(value: object, width: int) -> str:
    """Return a text of the Hub's answer, harmless and on one line; empty where it is none."""
    return text.one_line(value, width) if isinstance(value, str) else ""
