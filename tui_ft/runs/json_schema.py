"""JSON schemas that answers have to fit, checked by the `jsonschema` library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Protocol

from tui_ft import paths, text

_INSTALL: Final = "pip install jsonschema, or leave json_schema out to ask for valid JSON alone"


class SchemaError(Exception):
    """A schema cannot be read, or is none; says what to do."""

    def __init__(self, reason: str, *advice: str) -> None:
        super().__init__(reason)
        self.advice = advice


class Validator(Protocol):
    """What tells whether a value fits."""

    def is_valid(self, instance: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
        """Tell whether ``instance`` fits the schema."""


def read_schema(schema: dict[str, Any] | str) -> dict[str, Any]:
    """Return a schema that stands in a run, or in the file that it names.

    Raises:
        SchemaError: the file cannot be read, or holds no JSON object.
    """
    if isinstance(schema, dict):
        return schema
    file = Path(paths.expand(schema))
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"the JSON schema {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        said = text.one_line(str(error), 120)
        raise SchemaError(f"the JSON schema {file} is no JSON: {said}") from None
    if not isinstance(value, dict):
        raise SchemaError(f"the JSON schema {file} holds no object")
    return value


def validator_of(schema: dict[str, Any]) -> Validator:
    """Return what checks values by ``schema``; nothing that it refers to is fetched.

    Raises:
        SchemaError: it is no schema, refers elsewhere, or `jsonschema` is not installed.
    """
    try:
        import jsonschema
        from jsonschema.validators import validator_for
        from referencing import Registry
    except ImportError:
        raise SchemaError(
            "a JSON schema is checked by the jsonschema library, which is not installed", _INSTALL
        ) from None
    validator = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path)
        said = text.one_line(error.message, 160)
        raise SchemaError(f"the JSON schema is wrong at /{where}: {said}") from None
    outside = sorted(ref for ref in _references(schema) if not ref.startswith("#"))
    if outside:
        shown = text.one_line(outside[0], 80)
        raise SchemaError(
            f"the JSON schema refers to {shown}, and nothing is fetched for it",
            "write what it refers to under $defs, and refer to #/$defs/…",
        )
    checker: Validator = validator(schema, registry=Registry())
    return checker


def _references(value: Any) -> list[str]:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for inner in value.values() for ref in _references(inner)]
    if isinstance(value, list):
        return [ref for inner in value for ref in _references(inner)]
    return []
