"""What every group of a RunSpec's fields has in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Extra = dict[str, Any]


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

    model_config = ConfigDict(extra="forbid", validate_default=True, use_attribute_docstrings=True)
