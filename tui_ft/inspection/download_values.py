"""Values of `datasets` as JSON holds them: what its feature types mean, where that is more.

`tui_ft.data.files.arrow_rows` reads its tables as they are stored. There a class is a number, JSON
is text, and a picture is bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from datasets import ClassLabel, Features, Json, LargeList, List

Change = Callable[[Any], Any]
"""Makes a value for JSON of one that is not null."""

_A_NAME: Final = 80


def changes(features: Features) -> dict[str, Change]:
    """Return what has to be changed in rows with such ``features``: column -> how."""
    found = {name: _change(feature) for name, feature in features.items()}
    return {name: change for name, change in found.items() if change is not None}


def notes(features: Features) -> tuple[str, ...]:
    """Return what a reader of the rows should know of their columns, in sentences."""
    said = []
    for name, feature in features.items():
        shown = name[:_A_NAME]
        if isinstance(feature, ClassLabel):
            said.append(f"`{shown}` holds the names of its {feature.num_classes:,} classes")
        elif media := _media_in(feature):
            said.append(f"`{shown}` holds a note instead of each {media}: ftui trains on text")
    return tuple(said)


def changed(values: Mapping[str, Any], how: Mapping[str, Change]) -> dict[str, Any]:
    """Return a row with its values for JSON."""
    return {
        name: value if value is None or name not in how else how[name](value)
        for name, value in values.items()
    }


def _change(feature: Any) -> Change | None:  # noqa: ANN401 - `datasets` has no type for them
    if isinstance(feature, ClassLabel):
        return _class_name(feature.names)
    if isinstance(feature, Json):
        return _parsed
    if isinstance(feature, List | LargeList):
        return _each(_change(feature.feature))
    if isinstance(feature, dict):
        return _fields({name: _change(inner) for name, inner in feature.items()})
    return _note(_kind(feature)) if _is_media(feature) else None


def _class_name(names: list[str]) -> Change:
    return lambda value: names[value] if 0 <= value < len(names) else None


def _parsed(value: Any) -> Any:  # noqa: ANN401
    try:
        return orjson.loads(value)
    except (ValueError, TypeError):
        return value


def _each(change: Change | None) -> Change | None:
    if change is None:
        return None
    return lambda values: [None if value is None else change(value) for value in values]


def _fields(how: Mapping[str, Change | None]) -> Change | None:
    known = {name: change for name, change in how.items() if change is not None}
    return (lambda value: changed(value, known)) if known else None


def _note(kind: str) -> Change:
    def note(value: Any) -> str:  # noqa: ANN401
        fields = value if isinstance(value, dict) else {}
        path, content = fields.get("path"), fields.get("bytes")
        parts = [kind, str(path)[:_A_NAME] if path else "", _length(content)]
        return f"<{', '.join(part for part in parts if part)}>"

    return note


def _length(content: object) -> str:
    """Return how long bytes are, that come as the note `<12 bytes>`, or as text if they are."""
    if not isinstance(content, str):
        return ""
    is_note = content.startswith("<") and content.endswith(" bytes>")
    return content[1:-1] if is_note else f"{len(content.encode()):,} bytes"


def _media_in(feature: Any) -> str:  # noqa: ANN401
    while isinstance(feature, List | LargeList):
        feature = feature.feature
    return _kind(feature) if _is_media(feature) else ""


def _is_media(feature: object) -> bool:
    """Return whether it is a picture, a sound or the like: what `datasets` decodes from bytes."""
    return hasattr(feature, "decode_example") and not isinstance(feature, Json | ClassLabel)


def _kind(feature: object) -> str:
    return type(feature).__name__.lower()
