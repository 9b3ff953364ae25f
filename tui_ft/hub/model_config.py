"""A model's config.json: from a folder, the Hugging Face cache, or one request to the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson

from tui_ft import text
from tui_ft.hub.locate import ask_for_json, locate_model
from tui_ft.hub.outputs import Adapter, adapter_named, folder_of


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What was found.

    Attributes:
        values: the file's; None when there are none to be had.
        problem: why not, and what to do.
        where: it was found in a folder, in the cache, or asked of the Hub.
        adapter: the adapter that was named; the values are its base's.
    """

    values: dict[str, Any] | None = None
    problem: str | None = None
    where: Literal["folder", "cache", "hub"] | None = None
    adapter: Adapter | None = None


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
    adapter = adapter_named(name_or_path, revision, environ)
    if adapter is not None:
        return _under(adapter, environ, transport)
    folder = folder_of(name_or_path)
    if (folder / "config.json").is_file():
        return _read(folder / "config.json", "folder")
    location = locate_model(name_or_path, revision, environ, transport)
    if location.adapter is not None:
        return _under(location.adapter, environ, transport)
    if location.path is not None and (location.path / "config.json").is_file():
        return _read(location.path / "config.json", "cache")
    if location.where != "hub":
        return ModelConfig(problem=location.reason or f"{name_or_path} is not to be found")
    return _ask(name_or_path, revision, environ, transport)


def _under(
    adapter: Adapter, environ: Mapping[str, str], transport: httpx.BaseTransport | None
) -> ModelConfig:
    """Return the configuration of an adapter's base."""
    if not adapter.base or adapter_named(adapter.base, adapter.revision, environ) is not None:
        return ModelConfig(problem=f"{adapter.name} names no base", adapter=adapter)
    base = model_config(adapter.base, adapter.revision, environ, transport)
    return replace(base, adapter=adapter)


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
    asked = ask_for_json(name, revision, "config.json", environ, transport)
    if isinstance(asked, str):
        return ModelConfig(problem=asked)
    return _checked(asked, f"{name}/config.json", "hub")


def _parsed(content: bytes, name: str, where: Literal["folder", "cache", "hub"]) -> ModelConfig:
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return ModelConfig(problem=f"{name} is no JSON: {text.one_line(str(error), 80)}")
    return _checked(values, name, where)


def _checked(values: object, name: str, where: Literal["folder", "cache", "hub"]) -> ModelConfig:
    if not isinstance(values, dict) or "model_type" not in values:
        return ModelConfig(problem=f"{name} has no `model_type`: it is no model's configuration")
    return ModelConfig(values, where=where)
