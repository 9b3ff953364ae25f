"""What every group of a RunSpec's fields has in common."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_EXPONENT: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")

Fraction = Annotated[float, Field(ge=0, lt=1)]


def number_or_text(value: str) -> str | float:
    """Read `1e-4` as a number: YAML 1.1 takes it for text, people do not."""
    try:
        return float(value) if _EXPONENT.fullmatch(value) else value
    except ValueError:
        return value


def _with_numbers(value: Any) -> Any:  # noqa: ANN401 - whatever was written
    """Read numbers such as `1e-4` in what is passed on, whose types nobody looks at here."""
    if isinstance(value, str):
        return number_or_text(value)
    if isinstance(value, dict):
        return {name: _with_numbers(one) for name, one in value.items()}
    return [_with_numbers(one) for one in value] if isinstance(value, list) else value


Extra = Annotated[dict[str, Any], BeforeValidator(_with_numbers)]
"""What is passed on to a library by its own names."""


def about(
    unit: str | None = None,
    source: str | None = None,
    *,
    basic: bool = False,
    choices: Iterable[str] = (),
) -> Any:  # noqa: ANN401 - pydantic's own type
    """Return what a form needs to know of a field beside its help."""
    return {"unit": unit, "source": source, "basic": basic, "choices": list(choices)}


class Group(BaseModel):
    """A group of fields; each carries its help as the docstring below it."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
