"""The classes that a model's head tells apart, as whoever trained it has written them down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from tui_ft import paths
from tui_ft.hub.model_config import model_config
from tui_ft.hub.outputs import adapter_named

CLASSES_FILE: Final = "classes.json"
"""Beside an adapter, which has no config.json: the names in the order of the outputs."""
_NO_NAME: Final = re.compile(r"LABEL_\d+")


def class_names(name_or_path: str, revision: str | None = None) -> tuple[str, ...]:
    """Return the names of the outputs of a model's head, or of an adapter's. Never raises.

    Empty where it has none, or has only those that transformers makes up.
    """
    adapter = adapter_named(name_or_path, revision)
    if adapter is not None:
        return classes_beside(adapter.folder)
    config = model_config(name_or_path, revision).values or {}
    return names_of(config.get("id2label"))


def classes_beside(adapter: Path) -> tuple[str, ...]:
    """Return the names in an adapter's folder; empty where there are none."""
    try:
        found = orjson.loads((adapter / CLASSES_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return ()
    named = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return tuple(found) if named else ()


def write_classes(adapter: Path, names: tuple[str, ...]) -> None:
    """Write the names into an adapter's folder.

    Raises:
        OSError: they cannot be written.
    """
    paths.write_atomically(adapter / CLASSES_FILE, orjson.dumps(names))


def names_of(id2label: object) -> tuple[str, ...]:
    """Return the names that a configuration gives to the outputs; empty for made-up ones."""
    if not isinstance(id2label, Mapping):
        return ()
    try:
        by_number = {int(number): str(name) for number, name in id2label.items()}
    except (TypeError, ValueError):
        return ()
    names = tuple(by_number[number] for number in sorted(by_number))
    return () if any(_NO_NAME.fullmatch(name) for name in names) else names
