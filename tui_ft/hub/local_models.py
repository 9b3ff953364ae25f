"""Models that are on this machine: in folders, and in the Hugging Face cache."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tui_ft import text
from tui_ft.hub.locate import locate_model
from tui_ft.hub.model_config import model_config
from tui_ft.hub.outputs import Adapter, adapter_in
from tui_ft.hub.places import hub_cache

_PREFIX: Final = "models--"
_MOST: Final = 500
_CONFIG: Final = "config.json"
_TEMPLATES: Final = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model with its weights on this machine. Its texts are harmless to show.

    Attributes:
        name: what ftui takes for it: a path, or an id that is in the cache.
        path: its folder.
        model_type: transformers' word for its architecture.
        size_bytes: of its weights.
        chat_template: whether it comes with one.
        changed: when its folder was last written to, in Unix seconds.
        adapter_of: of an adapter, the folder or id of the model that it changes.
    """

    name: str
    path: Path
    model_type: str | None = None
    size_bytes: int | None = None
    chat_template: bool = False
    changed: float = 0.0
    adapter_of: str | None = None


def models_in(folder: Path) -> tuple[LocalModel, ...]:
    """Return the models whose folders stand in ``folder``, the newest first. Never raises."""
    try:
        places = [place for place in list(folder.iterdir())[:_MOST] if place.is_dir()]
    except OSError:
        return ()
    return _newest_first(_local(str(place), place) for place in places)


def model_at(folder: Path) -> LocalModel | None:
    """Return the model in a folder; None when it holds none that could be trained."""
    return _local(str(folder), folder)


def cached_models(environ: Mapping[str, str] = os.environ) -> tuple[LocalModel, ...]:
    """Return the models of which the cache has all weights, the newest first. Never raises."""
    try:
        kept = [place.name for place in hub_cache(environ).glob(f"{_PREFIX}*")][:_MOST]
    except OSError:
        return ()
    found = []
    for kept_name in kept:
        name = kept_name.removeprefix(_PREFIX).replace("--", "/")
        # A folder of that name would be asked for instead, and the Hub must not be asked at all.
        location = locate_model(name, environ={**environ, "HF_HUB_OFFLINE": "1"})
        if location.where == "cached" and location.path is not None:
            own = location.path if location.adapter is None else location.adapter.folder
            found.append(_local(name, own))
    return _newest_first(found)


def _newest_first(found: Any) -> tuple[LocalModel, ...]:  # noqa: ANN401 - any iterable of them
    models = [model for model in found if model is not None]
    return tuple(sorted(models, key=lambda model: (-model.changed, model.name)))


def _local(name: str, folder: Path) -> LocalModel | None:
    adapter = adapter_in(folder)
    if adapter is not None:
        return _adapter(name, adapter)
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
        weights = [file for file in folder.iterdir() if file.suffix == ".safetensors"]
        size = sum(file.stat().st_size for file in weights)
        changed = folder.stat().st_mtime
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(config, dict) or not weights:
        return None
    kind = config.get("model_type")
    return LocalModel(
        name=name,
        path=folder,
        model_type=text.one_line(kind, 60) if isinstance(kind, str) else None,
        size_bytes=size,
        chat_template=_comes_with_template(folder),
        changed=changed,
    )


def _adapter(name: str, adapter: Adapter) -> LocalModel | None:
    """Return an adapter as the model that it makes of its base; None for one without weights."""
    try:
        weights = [file for file in adapter.folder.iterdir() if file.suffix == ".safetensors"]
        size = sum(file.stat().st_size for file in weights)
        changed = adapter.folder.stat().st_mtime
    except OSError:
        return None
    if not weights:
        return None
    base = model_config(name, environ={**os.environ, "HF_HUB_OFFLINE": "1"}).values or {}
    kind = base.get("model_type")
    return LocalModel(
        name=name,
        path=adapter.folder,
        model_type=text.one_line(kind, 60) if isinstance(kind, str) else None,
        size_bytes=size,
        chat_template=_comes_with_template(adapter.folder),
        changed=changed,
        adapter_of=text.one_line(adapter.base, 200),
    )


def _comes_with_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in _TEMPLATES):
        return True
    try:
        tokenizer = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tokenizer, dict) and bool(tokenizer.get("chat_template"))
