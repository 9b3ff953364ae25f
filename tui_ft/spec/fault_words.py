"""What pydantic finds wrong with a value, in the words of those who write runs."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

_NUMBER: Final = "a number belongs here"
_WHOLE: Final = "a whole number belongs here"
_TRUTH: Final = "true or false belongs here"
_TEXT: Final = "a text belongs here"
_GROUP: Final = "a group of keys belongs here"
_BELONGS: Final[Mapping[str, str]] = {
    "model_type": _GROUP,
    "model_attributes_type": _GROUP,
    "dict_type": _GROUP,
    "list_type": "a list belongs here",
    "string_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "a whole number of fewer digits belongs here",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "a finite number belongs here",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SIZES: Final[Mapping[str, tuple[str, str]]] = {
    "too_short": ("at least", "min_length"),
    "too_long": ("at most", "max_length"),
    "string_too_short": ("at least", "min_length"),
    "string_too_long": ("at most", "max_length"),
}
_WORDS_OF_TRUTH: Final = " (YAML reads yes, no, on and off so)"
_LONGEST_SHOWN: Final = 60  # of one line of a message

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 60


def message_of(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, by one of pydantic's `errors()`."""
    given, context, kind = _shown(fault.get("input")), fault.get("ctx") or {}, fault["type"]
    fixed = {
        "extra_forbidden": "unknown key",
        "missing": "is missing",
        "value_error": str(context.get("error")),
        "union_tag_invalid": f"unknown kind `{context.get('tag')}`",
        "union_tag_not_found": "does not say its `kind`",
        "literal_error": f"is {given}",
        "invalid_key": "is no name: a key is text",
        "string_pattern_mismatch": f"is {given}, which holds characters that cannot be used here",
    }
    if kind in fixed:
        return fixed[kind]
    if kind in _BELONGS:
        also = _WORDS_OF_TRUTH if isinstance(fault.get("input"), bool) else ""
        return f"is {given}{also}; {_BELONGS[kind]}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        limit = context.get(bound)
        shown = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
        return f"is {given}; it has to be {words} {shown}"
    if kind in _SIZES:
        return _of_size(given, fault.get("input"), *_SIZES[kind], context)
    return f"is {given}; {str(fault['msg']).removeprefix('Input ')}"


def _of_size(given: str, value: object, words: str, bound: str, context: Mapping[str, Any]) -> str:
    """Return what is wrong with how much a list or a text holds."""
    number = context.get(bound, 1)
    if not value and number == 1:
        return f"is empty; {_TEXT if isinstance(value, str) else 'at least one belongs into it'}"
    what = "characters" if isinstance(value, str) else "values"
    return f"is {given}; {words} {number} {what} belong here"


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value) if isinstance(value, date) else _shortened.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
