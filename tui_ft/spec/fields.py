"""The fields of a run as a form shows them, read off the RunSpec models.

A new field of a model appears by itself. Which fields there are depends on what is chosen: a method
has its own, and what another choice makes meaningless is left out.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tui_ft.spec import yaml_text
from tui_ft.spec.optimizers import passes_over_warmup
from tui_ft.spec.run_spec import RunSpec

FieldKind = Literal["flag", "choice", "number", "text", "yaml"]
"""How a field is edited; `yaml` is a list or a map, written as YAML on one line."""

NONE: Final = "none"
"""What stands for no value, where a field may have none."""

_FIXED: Final = frozenset(("version",))
_CHOOSES: Final = "kind"
ON: Final = "on"
"""What stands for a group that a run may do without, and has."""


@dataclass(frozen=True, slots=True)
class SpecField:
    """One field.

    Attributes:
        key: dotted, such as `training.learning_rate`.
        help: what it means.
        kind: how it is edited.
        choices: what may be chosen; of a flag `true` and `false`.
        default: what holds when nothing is said.
        required: whether something has to be said.
        may_be_none: whether it may be without a value.
        unit: of its number.
        source: where a recommendation comes from.
        basic: whether it belongs to the few that most runs set.
        is_group: whether it stands for a whole group of fields, there or not.
    """

    key: str
    help: str
    kind: FieldKind
    choices: tuple[str, ...] = ()
    default: object = None
    required: bool = False
    may_be_none: bool = False
    unit: str | None = None
    source: str | None = None
    basic: bool = False
    is_group: bool = False

    @property
    def group(self) -> str:
        """The part of the key before its last dot; empty for the run's own fields."""
        return self.key.rpartition(".")[0]

    @property
    def chooses(self) -> bool:
        """Whether other fields of its group come and go with it."""
        return self.key.endswith(f".{_CHOOSES}")


def fields_of(values: Mapping[str, Any]) -> tuple[SpecField, ...]:
    """Return the fields that a run with these ``values`` has, in the order of the models."""
    hidden = {key for key, is_of_use in _OF_USE.items() if not is_of_use(values)}
    return tuple(f for f in _fields(RunSpec, "", values) if f.key not in hidden)


def value_at(values: Mapping[str, Any], key: str) -> object:
    """Return what ``values`` say at a dotted key; `KeyError` where they say nothing."""
    inner: object = values
    for part in key.split("."):
        if not isinstance(inner, Mapping) or part not in inner:
            raise KeyError(key)
        inner = inner[part]
    return inner


def shown_value(value: object) -> str:
    """Return a value as it is typed into a form: `0.0002`, `true`, `none`, `[q_proj, v_proj]`."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list | tuple):
        return yaml_text.write_in_line(value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _fields(model: type[BaseModel], at: str, values: Mapping[str, Any]) -> Iterator[SpecField]:
    for name, info in model.model_fields.items():
        key = f"{at}{name}"
        if key in _FIXED:
            continue
        groups = _groups(info.annotation)
        said = _said(values, key)
        if not groups:
            if name != _CHOOSES:  # a union's choice is asked for where the union stands
                yield _field(key, info)
        elif len(groups) > 1:
            chosen = _chosen(groups, info, said)
            if _may_be_none(info.annotation) and said is None:
                yield _choice_of(key, groups, None, info)
                continue
            yield _choice_of(key, groups, chosen, info)
            yield from _fields(chosen, f"{key}.", values)
        elif _may_be_none(info.annotation):
            yield SpecField(key, _help(info), "choice", (NONE, ON), may_be_none=True, is_group=True)
            if said is not None:
                yield from _fields(groups[0], f"{key}.", values)
        else:
            yield from _fields(groups[0], f"{key}.", values)


def _field(key: str, info: FieldInfo) -> SpecField:
    about = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    kind, choices = _kind(info.annotation)
    named = about.get("choices")
    if kind == "text" and isinstance(named, list) and named:
        kind, choices = "choice", tuple(str(one) for one in named)
    return SpecField(
        key=key,
        help=_help(info),
        kind=kind,
        choices=choices,
        default=_default(info),
        required=info.is_required(),
        may_be_none=_may_be_none(info.annotation),
        unit=_text(about.get("unit")),
        source=_text(about.get("source")),
        basic=bool(about.get("basic")),
    )


def _choice_of(
    key: str,
    groups: tuple[type[BaseModel], ...],
    chosen: type[BaseModel] | None,
    info: FieldInfo,
) -> SpecField:
    """Return the field that chooses among a union's models; the help is that of the chosen one.

    A union that a run may do without has one choice more.
    """
    kinds = tuple(_tag(group) for group in groups)
    optional = _may_be_none(info.annotation)
    help_ = _help(info) if chosen is None else " ".join((chosen.__doc__ or "").split())
    return SpecField(
        f"{key}.{_CHOOSES}",
        help_,
        "choice",
        (NONE, *kinds) if optional else kinds,
        default=NONE if optional or chosen is None else _tag(chosen),
        may_be_none=optional,
        basic=True,
    )


def _chosen(groups: tuple[type[BaseModel], ...], info: FieldInfo, said: object) -> type[BaseModel]:
    kind = said.get(_CHOOSES) if isinstance(said, Mapping) else None
    fallback = type(_default(info))
    known = {_tag(group): group for group in groups}
    return known.get(str(kind), fallback if fallback in groups else groups[0])


def _kind(annotation: object) -> tuple[FieldKind, tuple[str, ...]]:
    members = [_bare(one) for one in _members(annotation)]
    if bool in members:
        return "flag", ("true", "false")
    literals = tuple(
        str(value)
        for one in members
        if typing.get_origin(one) is Literal
        for value in typing.get_args(one)
    )
    if any(typing.get_origin(one) in (list, dict) for one in members):
        return "yaml", literals
    if literals and all(typing.get_origin(one) is Literal for one in members):
        return "choice", (*literals, *((NONE,) if _may_be_none(annotation) else ()))
    return ("number" if int in members or float in members else "text"), literals


def _members(annotation: object) -> tuple[object, ...]:
    """Return the members of a union but for None; of anything else itself."""
    bare = _bare(annotation)
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        inner = (member for one in typing.get_args(bare) for member in _members(one))
        return tuple(one for one in inner if one is not types.NoneType)
    return (bare,)


def _bare(annotation: object) -> object:
    if typing.get_origin(annotation) is typing.Annotated:
        return typing.get_args(annotation)[0]
    return annotation


def _groups(annotation: object) -> tuple[type[BaseModel], ...]:
    return tuple(
        one for one in _members(annotation) if isinstance(one, type) and issubclass(one, BaseModel)
    )


def _may_be_none(annotation: object) -> bool:
    bare = _bare(annotation)
    is_union = typing.get_origin(bare) in (typing.Union, types.UnionType)
    return is_union and types.NoneType in typing.get_args(bare)


def _default(info: FieldInfo) -> object:
    default = info.get_default(call_default_factory=True, validated_data={})
    return None if default is PydanticUndefined else default


def _tag(model: type[BaseModel]) -> str:
    return str(model.model_fields[_CHOOSES].default)


def _help(info: FieldInfo) -> str:
    return " ".join((info.description or "").split())


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _said(values: Mapping[str, Any], key: str) -> object:
    try:
        return value_at(values, key)
    except KeyError:
        return None


def _has_steps(values: Mapping[str, Any], name: str) -> bool:
    """Whether something happens every so many steps: it does unless it is set to none."""
    try:
        return value_at(values, f"training.{name}") is not None
    except KeyError:
        return True


_EIGHT: Final = 8
_OF_USE: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "data.eval_fraction": lambda values: _said(values, "data.eval") is None,
    "data.split_seed": lambda values: _said(values, "data.eval") is None,
    "training.num_train_epochs": lambda values: _said(values, "training.max_steps") is None,
    "training.early_stopping_patience": lambda values: _has_steps(values, "eval_steps"),
    "training.load_best_model_at_end": lambda values: (
        _has_steps(values, "eval_steps") and _has_steps(values, "save_steps")
    ),
    "training.metric_for_best_model": lambda values: _has_steps(values, "eval_steps"),
    "training.greater_is_better": lambda values: _has_steps(values, "eval_steps"),
    "training.warmup_steps": lambda values: (
        not passes_over_warmup(
            str(_said(values, "training.lr_scheduler_type")), str(_said(values, "training.optim"))
        )
    ),
    "method.bnb_4bit_quant_type": lambda values: _said(values, "method.bits") != _EIGHT,
    "method.bnb_4bit_use_double_quant": lambda values: _said(values, "method.bits") != _EIGHT,
    "training.save_total_limit": lambda values: _has_steps(values, "save_steps"),
    "output.checkpoint_budget": lambda values: _has_steps(values, "save_steps"),
    "evaluation.sample_max_new_tokens": lambda values: _said(values, "evaluation.samples") != 0,
}
"""Fields that another one can make meaningless, and when they are not."""
