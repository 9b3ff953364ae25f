"""What every group of a RunSpec's fields has in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

from tui_ft.spec.yaml_text import EXPONENT, Unquoted

_UNIONS: Final = (Union, UnionType, Annotated)

Fraction = Annotated[float, Field(ge=0, lt=1)]


def number_or_text(value: str) -> str | float:
    """Read `1e-4` as a number: YAML 1.1 takes it for text, people do not."""
    return float(value) if EXPONENT.fullmatch(value) else value


def _with_numbers(value: Any) -> Any:  # noqa: ANN401 - whatever was written
    """Read numbers such as `1e-4` in what is passed on, whose types nobody looks at here.

    In quotes it is a text.
    """
    if isinstance(value, Unquoted):
        return float(value)
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

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: Any) -> Any:  # noqa: ANN401 - whatever was written
        """Refuse `yes` where a number belongs, which pydantic takes for 1."""
        if not isinstance(values, Mapping):
            return values
        fields = cls.model_fields
        faults = [
            InitErrorDetails(type="int_type" if int in kinds else "float_type", loc=at, input=v)
            for name, said in values.items()
            if name in fields
            for at, v in _with_places(name, said)
            if isinstance(v, bool)
            and bool
            not in (kinds := _plain_types(cls.model_fields[name].annotation, inside=at[1:]))
            and {int, float} & kinds
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return values


def _with_places(name: str, said: object) -> list[tuple[tuple[str | int, ...], object]]:
    """Return a value, or the values of a list, with where they stand."""
    if isinstance(said, list):
        return [((name, at), one) for at, one in enumerate(said)]
    return [((name,), said)]


def _plain_types(annotation: Any, *, inside: object) -> set[Any]:  # noqa: ANN401
    """Return the types that an annotation holds, those in unions too.

    Args:
        annotation: any.
        inside: of a list's items, where there is one.
    """
    if get_origin(annotation) is list and inside:
        return _plain_types(get_args(annotation)[0], inside=None)
    if get_origin(annotation) not in _UNIONS:
        return {annotation} if isinstance(annotation, type) and not inside else set()
    return {one for part in get_args(annotation) for one in _plain_types(part, inside=inside)}
