"""What a data set on the Hub is made of: configs, splits and their files; and what is cached."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx

from tui_ft import paths
from tui_ft.hub import client
from tui_ft.hub.dataset_configs import (
    DATA,
    LONGEST_NAME,
    PACKED,
    HubConfig,
    HubSplit,
    as_configs,
    by_folder,
    configs_of,
    is_data,
    sizes_of,
    total,
)
from tui_ft.hub.datasets_cached import CachedDataset, cached_commit, cached_dataset
from tui_ft.hub.datasets_search import card_sizes
from tui_ft.hub.listing import common_fields, shown

Where = Literal["hub", "cached", "missing", "gated", "unknown"]

PARQUET_BRANCH: Final = "refs/convert/parquet"
"""The branch on which the Hub keeps its own conversion, of data sets with a script too."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a data set.

    Attributes:
        where: `gated` also for what may not exist: to strangers the Hub does not say which.
            `unknown` when the Hub could not be asked and nothing is cached.
        commit: which commit this is of.
        script: the file that keeps `datasets` from loading it, if there is one.
        has_parquet: whether the Hub keeps a conversion to Parquet, on `PARQUET_BRANCH`.
        cached: what is on this machine already.
        reason: why nothing more is known, or why it cannot be had at once, and what to do.
    """

    id: str
    where: Where
    commit: str | None = None
    configs: tuple[HubConfig, ...] = ()
    licence: str | None = None
    gated: bool | str = False
    private: bool = False
    size_bytes: int | None = None
    rows: int | None = None
    script: str | None = None
    has_parquet: bool = False
    cached: CachedDataset | None = None
    reason: str | None = None


def is_dataset_id(text: str) -> bool:
    """Return whether ``text`` names a data set on the Hub (`owner/name` or `name`), and no path."""
    if not client.ID.fullmatch(text) or PurePosixPath(text).suffix.lower() in DATA | PACKED:
        return False
    try:
        return not paths.expand(text).exists()
    except (OSError, ValueError):
        return False


def page_of(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of a data set's page, where access is asked for."""
    return f"{client.endpoint(environ)}/datasets/{name}"


def dataset_commit(
    name: str,
    revision: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> str | None:
    """Return the commit that ``revision`` is on the Hub; None when the Hub does not say."""
    if client.is_offline(environ):
        return None
    answer = client.ask(_path(name, revision), {}, environ, transport)
    return None if isinstance(answer, client.Silence) else _commit(_read(answer))


def dataset_info(
    name: str,
    revision: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> DatasetInfo:
    """Return what the data set ``name`` is made of. Never raises, and takes 10 seconds at most.

    Args:
        revision: branch, tag or commit.
        environ: honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and where caches are.
        transport: how the Hub is reached; httpx's own when None.
    """
    cached = cached_dataset(name, environ)
    if not client.ID.fullmatch(name):
        return DatasetInfo(name, "missing", reason="a data set is called `owner/name` or `name`")
    if client.is_offline(environ):
        why = "HF_HUB_OFFLINE forbids to ask the Hub"
        return _from_cache(name, revision, cached, why, environ)
    answer = client.ask(_path(name, revision), {"blobs": "true"}, environ, transport)
    if isinstance(answer, client.Silence) or answer.status != httpx.codes.OK:
        return _refused(name, revision, answer, cached, environ)
    facts = _read(answer)
    if not isinstance(facts.get("siblings"), list):
        return _from_cache(name, revision, cached, client.nonsense(environ), environ)
    # The conversion is one of the main branch, whatever its revision.
    converted = {} if revision else _parquet(name, environ, transport)
    found = _found(name, facts, converted, environ)
    if revision == PARQUET_BRANCH:
        sizes = sizes_of(facts["siblings"])
        found = replace(found, configs=as_configs(by_folder(list(sizes)), {}, sizes))
    return replace(found, cached=cached)


def _path(name: str, revision: str | None) -> str:
    return f"/api/datasets/{name}" + (f"/revision/{quote(revision, safe='')}" if revision else "")


def _read(answer: client.Answer) -> dict[str, Any]:
    """Return the object that was answered; an empty one where it is none."""
    try:
        facts = json.loads(answer.body) if answer.status == httpx.codes.OK else None
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _commit(facts: Mapping[str, Any]) -> str | None:
    commit = facts.get("sha")
    return commit if isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40}", commit) else None


def _refused(
    name: str,
    revision: str | None,
    answer: client.Answer | client.Silence,
    cached: CachedDataset | None,
    environ: Mapping[str, str],
) -> DatasetInfo:
    page, login = page_of(name, environ), "log in (`hf auth login`) or set HF_TOKEN"
    where: Where = "missing"
    match answer:
        case client.Answer(code="GatedRepo"):
            where = "gated"
            reason = f"{name} is gated: ask for access on {page}, then {login}"
        case client.Answer(status=401, code="") if client.token(environ):
            return _from_cache(name, revision, cached, client.complaint(answer, environ), environ)
        case client.Answer(status=401 | 403):
            # To strangers the Hub does not say which; it answers 401 for what does not exist.
            where = "gated"
            reason = (
                f"{name} does not exist, or is private: check its name; for a private one {login}"
            )
        case client.Answer(status=404, code=code) if revision and code != "RepoNotFound":
            reason = (
                f"{name} has no revision `{shown(revision, LONGEST_NAME)}`; see {page}/tree/main"
            )
        case client.Answer(status=404):
            reason = f"there is no data set {name} on the Hub: `ftui datasets WORDS` finds others"
        case _:
            return _from_cache(name, revision, cached, client.complaint(answer, environ), environ)
    return DatasetInfo(name, where, cached=cached, reason=reason)


def _from_cache(
    name: str,
    revision: str | None,
    cached: CachedDataset | None,
    why: str,
    environ: Mapping[str, str],
) -> DatasetInfo:
    """Return what is known without the Hub, which could not be asked because of ``why``."""
    commit = cached_commit(name, revision, environ)
    usable = [it for it in cached.prepared if commit in (None, it.commit)] if cached else []
    if revision and commit is None:
        usable = []
    if not usable:
        at = f" at {shown(revision, LONGEST_NAME)}" if revision else ""
        reason = f"{why}; and {name}{at} is not in the cache"
        return DatasetInfo(name, "unknown", cached=cached, reason=reason)
    newest = [it for it in usable if it.commit == usable[0].commit]
    configs = tuple(
        HubConfig(it.config, tuple(HubSplit(split, rows=rows) for split, rows in it.rows.items()))
        for it in newest
    )
    return DatasetInfo(
        name,
        "cached",
        commit=newest[0].commit,
        configs=configs,
        rows=sum(rows for it in newest for rows in it.rows.values()),
        cached=cached,
        reason=f"{why}; this is what the cache holds",
    )


def _found(
    name: str,
    facts: Mapping[str, Any],
    parquet: Mapping[str, Mapping[str, Sequence[str]]],
    environ: Mapping[str, str],
) -> DatasetInfo:
    sizes = sizes_of(facts["siblings"])
    script = f"{name.rpartition('/')[2]}.py"
    said = common_fields(facts)
    page = page_of(name, environ)
    why = f"{name} is gated: ask for access on {page}, with the account of your token"
    return DatasetInfo(
        name,
        "hub",
        commit=_commit(facts),
        configs=configs_of(facts.get("cardData"), parquet, sizes),
        licence=said["licence"],
        gated=said["gated"],
        private=said["private"],
        size_bytes=total(sizes[file] for file in sizes if is_data(file)),
        rows=card_sizes(facts.get("cardData"))[1],
        script=script if script in sizes else None,
        has_parquet=bool(parquet),
        reason=why if said["gated"] else None,
    )


def _parquet(
    name: str, environ: Mapping[str, str], transport: httpx.BaseTransport | None
) -> dict[str, dict[str, list[str]]]:
    """Return the files of the Hub's conversion: config -> split -> addresses. Empty if none."""
    answer = client.ask(f"{_path(name, None)}/parquet", {}, environ, transport)
    listed = {} if isinstance(answer, client.Silence) else _read(answer)
    return {
        config: {
            split: [address for address in addresses if isinstance(address, str)]
            for split, addresses in splits.items()
            if isinstance(addresses, list)
        }
        for config, splits in listed.items()
        if isinstance(splits, dict)
    }
