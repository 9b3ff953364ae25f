"""A model's config.json: from a folder, the Hugging Face cache, or one request to the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
import orjson

from tui_ft import text
from tui_ft.hub import client
from tui_ft.hub.locate import locate_model
from tui_ft.hub.outputs import adapter_in, folder_of


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What was found.

    Attributes:
        values: the file's; None when there are none to be had.
        problem: why not, and what to do.
        where: it was found in a folder, in the cache, or asked of the Hub.
    """

    values: dict[str, Any] | None = None
    problem: str | None = None
    where: Literal["folder", "cache", "hub"] | None = None


def model_config(
    name_or_path: str,
    revision: str | None = None,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> ModelConfig:
    """Return a model's configuration. Never raises; a folder needs no weights in it.

    Of an adapter it is its base's.

    Args:
        name_or_path: a folder, or an id on the Hub.
        revision: branch, tag or commit; the newest when not given.
        environ: honours the Hub's variables.
        transport: how the Hub is reached; httpx's own when None.
    """
    folder = folder_of(name_or_path)
    adapter = adapter_in(folder)
    if adapter is not None and adapter.base and adapter_in(folder_of(adapter.base)) is None:
        return model_config(adapter.base, adapter.revision, environ, transport)
    if (folder / "config.json").is_file():
        return _read(folder / "config.json", "folder")
    location = locate_model(name_or_path, revision, environ, transport)
    if location.path is not None and (location.path / "config.json").is_file():
        return _read(location.path / "config.json", "cache")
    if location.where != "hub":
        return ModelConfig(problem=location.reason or f"{name_or_path} is not to be found")
    return _ask(name_or_path, revision, environ, transport)


def _read(path: Path, where: Literal["folder", "cache"]) -> ModelConfig:
    try:
        return _parsed(path.read_bytes(), str(path), where)
    except OSError as error:
        return ModelConfig(problem=f"{path} cannot be read: {error.strerror}")


def _ask(
    name: str,
    revision: str | None,
    environ: Mapping[str, str],
    transport: httpx.BaseTransport | None,
) -> ModelConfig:
    where = f"/{quote(name)}/resolve/{quote(revision or 'main', safe='')}/config.json"
    answer = client.ask(where, {}, environ, transport)
    if isinstance(answer, client.Silence):
        return ModelConfig(problem=f"{answer.endpoint} does not answer ({answer.error})")
    if answer.status != httpx.codes.OK:
        return ModelConfig(problem=f"the Hub has no config.json of {name} ({answer.status})")
    return _parsed(answer.body, f"{name}/config.json", "hub")


def _parsed(content: bytes, name: str, where: Literal["folder", "cache", "hub"]) -> ModelConfig:
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return ModelConfig(problem=f"{name} is no JSON: {text.one_line(str(error), 80)}")
    if not isinstance(values, dict) or "model_type" not in values:
        return ModelConfig(problem=f"{name} has no `model_type`: it is no model's configuration")
    return ModelConfig(values, where=where)
