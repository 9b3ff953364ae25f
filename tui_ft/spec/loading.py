"""RunSpecs from YAML and back, with faults reported by file, line and key."""

from __future__ import annotations

import copy
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tui_ft.spec import yaml_text
from tui_ft.spec.fault_words import message_of
from tui_ft.spec.fields import fields_of
from tui_ft.spec.group import number_or_text
from tui_ft.spec.problems import Problem, SpecError
from tui_ft.spec.run_spec import RunSpec

Location = tuple[str | int, ...]
Lines = dict[Location, int]

_BIGGEST_SPEC_BYTES = 1_000_000
_MOST_VALUES = 100_000
"""That a file may hold once its aliases are written out; a run has some hundreds."""
_DEEPEST = 4
"""No key of a spec lies deeper; a file whose aliases hold themselves has no bottom."""

_HOLDERS = (typing.Union, types.UnionType, typing.Annotated, list)
"""What an annotation may hold a group of fields in; of a list, each of its items is one."""


def load_spec(path: Path, overrides: Iterable[str] = ()) -> RunSpec:
    """Return the RunSpec in the YAML file ``path``, with ``key=value`` overrides put over it.

    Raises:
        SpecError: the file cannot be read, is no YAML, or does not describe a run.
    """
    values, lines = read_yaml(path)
    return build_spec(values, overrides, lines=lines, file=str(path))


def build_spec(
    values: Mapping[str, Any],
    overrides: Iterable[str] = (),
    *,
    lines: Lines | None = None,
    file: str | None = None,
) -> RunSpec:
    """Return a validated RunSpec from plain ``values`` and ``key=value`` overrides.

    Raises:
        SpecError: with one problem for each fault, in the order of the file.
    """
    merged = copy.deepcopy(dict(values))
    overridden = dict(_apply_override(merged, text) for text in overrides)
    try:
        return _validated(merged, overridden)
    except ValidationError as error:
        problems = _problems(error, lines or {}, file, overridden)
        raise SpecError(sorted(problems, key=lambda p: p.line or 0)) from None


def _validated(merged: dict[str, Any], overridden: Mapping[str, str]) -> RunSpec:
    """Return the run; where a text belongs, an override is taken as it was typed.

    So `--set name=7b` and `--set name=7`, `on` or `2024-11-24` are the same kind of thing, as a
    commit's hash is that happens to hold digits alone.
    """
    try:
        return RunSpec.model_validate(merged)
    except ValidationError as error:
        texts = {_dotted(_walk(e["loc"])[0]) for e in error.errors() if e["type"] == "string_type"}
    for key in texts & set(overridden):
        if overridden[key].strip():
            put(merged, key, overridden[key].strip())
    return RunSpec.model_validate(merged)


def read_yaml(
    path: Path, deepest: int = _DEEPEST, what: type[BaseModel] = RunSpec
) -> tuple[dict[str, Any], Lines]:
    """Return the mapping in ``path`` and the line on which each of its keys stands.

    Args:
        path: the file.
        deepest: how deep in it keys are looked for.
        what: whose keys are named where there are none.

    Raises:
        SpecError: unreadable, no YAML, a key given twice, or not a mapping.
    """
    try:
        if path.exists() and not path.is_file():
            raise SpecError([Problem("", "is no file", file=str(path))])
        if path.stat().st_size > _BIGGEST_SPEC_BYTES:
            raise SpecError([Problem("", "too large to be a run's YAML", file=str(path))])
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        fault = f"not UTF-8 text at byte {error.start:,}"
        raise SpecError([Problem("", fault, file=str(path))]) from None
    except (OSError, ValueError) as error:  # ValueError: a path with NUL in it
        fault = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise SpecError([Problem("", fault, file=str(path))]) from None
    return parse_yaml(text, str(path), deepest, what)


def parse_yaml(
    text: str, file: str, deepest: int = _DEEPEST, what: type[BaseModel] = RunSpec
) -> tuple[dict[str, Any], Lines]:
    """Return the mapping that ``text`` holds, and the line of each key; see `read_yaml`."""
    try:
        node = yaml_text.compose(text)
        values = yaml_text.read(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        fault = f"not valid YAML: {error.problem}"
        raise SpecError([Problem("", fault, line=line, file=file)]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: the 99th of May
        raise SpecError([Problem("", f"not valid YAML: {error}", file=file)]) from None
    if _unfolded(node, {}) > _MOST_VALUES:
        fault = f"its aliases unfold into more than {_MOST_VALUES:,} values: no run has so many"
        raise SpecError([Problem("", fault, file=file)])
    if not isinstance(values, dict):
        fault = "is empty" if values is None else f"holds a {_kind(values)}, not a mapping of keys"
        raise SpecError([Problem("", fault, file=file, allowed=_fields_in_words(what))])
    lines: Lines = {}
    twice: list[Problem] = []
    _note_lines(node, (), lines, twice, file, deepest)
    if twice:
        raise SpecError(twice)
    return values, lines


def dump_spec(spec: RunSpec) -> str:
    """Return ``spec`` as YAML with every field, its order kept, ready for `load_spec`."""
    return yaml_text.write(spec.model_dump(mode="json"))


def _unfolded(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Return how many values a node holds, those of an alias counted wherever it stands."""
    if node is None or id(node) in known:
        return known[id(node)] if node is not None else 0
    known[id(node)] = _MOST_VALUES  # what holds itself has no end
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [one for pair in node.value for one in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    known[id(node)] = 1 + sum(_unfolded(one, known) for one in inner)
    return known[id(node)]


def _note_lines(
    node: yaml.Node | None,
    at: Location,
    lines: Lines,
    twice: list[Problem],
    file: str,
    deepest: int,
) -> None:
    if len(at) > deepest:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            where = (*at, _key(key))
            line = key.start_mark.line + 1
            if where in lines:
                fault = f"is given twice, first on line {lines[where]}"
                twice.append(Problem(_dotted(where), fault, line=line, file=file))
            lines[where] = line
            _note_lines(value, where, lines, twice, file, deepest)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            _note_lines(value, (*at, index), lines, twice, file, deepest)


def _key(node: yaml.Node) -> str | int:
    """Return a key as pydantic's locations hold it: a number that is a key stays one."""
    is_number = node.tag == "tag:yaml.org,2002:int" and str(node.value).isdecimal()
    return int(node.value) if is_number else str(node.value)


def _apply_override(values: dict[str, Any], text: str) -> tuple[str, str]:
    """Put ``key=value`` into ``values``; return the dotted key, and the value as it was typed."""
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not key:
        fault = f"`{text}` is not of the form key=value, such as training.learning_rate=1e-4"
        raise SpecError([Problem("", fault, file="--set")])
    put(values, key, _as_text(values, key, raw) or read_value(raw))
    return key, raw


def _as_text(values: Mapping[str, Any], key: str, raw: str) -> str | None:
    """Return ``raw`` where a text belongs at ``key`` and YAML takes it for something else.

    A commit such as 1234567 or 12345e7 is a number to it.
    """
    typed = raw.strip()
    if not typed or not any(one.key == key and one.kind == "text" for one in fields_of(values)):
        return None
    value = read_value(typed)
    return None if value is None or isinstance(value, str | list | dict) else typed


def read_value(raw: str) -> object:
    """Return what a person means who types ``raw``: YAML, or a text where it is none."""
    try:
        value = yaml_text.read(raw) if raw.strip() else None
    except (yaml.YAMLError, ValueError):
        value = raw
    as_typed = isinstance(value, str) and value == raw.strip()  # without quotes
    return number_or_text(str(value)) if as_typed else value


def put(values: dict[str, Any], key: str, value: object) -> None:
    """Put ``value`` into ``values`` at a dotted key; groups on the way are made, or copied."""
    inner = values
    *groups, last = key.split(".")
    for group in groups:
        child = inner.get(group)
        inner[group] = child = dict(child) if isinstance(child, Mapping) else {}
        inner = child
    inner[last] = value


def _problems(
    error: ValidationError, lines: Lines, file: str | None, overridden: Mapping[str, str]
) -> list[Problem]:
    found: dict[str, Problem] = {}
    for fault in error.errors(include_url=False):
        where, model = _place(fault["type"], fault["loc"])
        key = _dotted(where)
        line = next(
            (lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in lines), None
        )
        source = "--set" if key in overridden else file
        unknown = fault["type"] == "extra_forbidden"
        elsewhere = unknown and key in set(_all_keys())
        nearest = _nearest(where, model) if unknown and not elsewhere else None
        problem = Problem(
            key,
            _of_another_kind(where, model, overridden) if elsewhere else message_of(fault),
            line=None if source == "--set" else line,
            file=source,
            allowed=_allowed(dict(fault), model, nearest),
            nearest=nearest,
        )
        # A union of types reports one fault for each of its members: one is enough.
        found.setdefault(key, problem)
    return list(found.values())


def _of_another_kind(where: Location, model: type[BaseModel], overridden: Mapping[str, str]) -> str:
    group, kind = _dotted(where[:-1]), _tag(model)
    said = f"is no key of the kind `{kind}`"
    if f"{group}.kind" not in overridden:
        return said
    return f"{said}: `--set '{group}={{kind: {kind}}}'` leaves out what is there of another kind"


def _place(kind: str, location: tuple[int | str, ...]) -> tuple[Location, type[BaseModel]]:
    """Return where a fault is, and the model that its key belongs to or is missing from."""
    if kind not in ("extra_forbidden", "missing"):
        return _walk(location)
    where, model = _walk(location[:-1])
    return (*where, location[-1]), model


def _walk(location: tuple[int | str, ...]) -> tuple[Location, type[BaseModel]]:
    """Return the location without union tags, and the model that its last key belongs to."""
    model: type[BaseModel] = RunSpec
    options: tuple[type[BaseModel], ...] = ()
    kept: list[str | int] = []
    for part in location:
        chosen = next((m for m in options if _tag(m) == part), None)
        if chosen is not None:
            model, options = chosen, ()
            continue
        if isinstance(part, str) and ("[" in part or part in {"int", "float", "str", "bool"}):
            continue  # a member of a union of plain types
        kept.append(part)
        field = model.model_fields.get(str(part))
        if field is not None:
            options = tuple(_models_in(field.annotation))
            if len(options) == 1:
                model, options = options[0], ()
    return tuple(kept), model


def _field(location: tuple[int | str, ...]) -> tuple[str, type[BaseModel]]:
    """Return the name of the field at ``location``, or of the list, and the model it belongs to."""
    *groups, name = location if isinstance(location[-1], str) else location[:-1]
    return str(name), _walk(tuple(groups))[1]


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in _HOLDERS:
        for member in typing.get_args(annotation):
            yield from _models_in(member)


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return None if field is None else str(field.default)


def _allowed(fault: dict[str, Any], model: type[BaseModel], nearest: str | None) -> str | None:
    context = fault.get("ctx") or {}
    match fault["type"]:
        case "extra_forbidden":
            return None if nearest else _fields_in_words(model)
        case "union_tag_invalid":
            return str(context["expected_tags"]).replace("'", "")
        case "literal_error":
            return str(context["expected"]).replace("'", "")
        case "missing" | "too_short" | "too_long" | "list_type" | "union_tag_not_found":
            return _required_in_words(*_field(fault["loc"]))
        case "string_pattern_mismatch":
            return "letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit"
        case _:
            return None


def _required_in_words(name: str, model: type[BaseModel]) -> str | None:
    """Return what a missing key means, or for a missing group the keys it cannot do without."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    groups = list(_models_in(field.annotation))
    if typing.get_origin(field.annotation) is list and len(groups) > 1:
        ready = (
            one for one in groups if not any(f.is_required() for f in one.model_fields.values())
        )
        kinds = ", ".join(filter(None, map(_tag, groups)))
        example = next(filter(None, map(_tag, ready)), "…")
        return f"a list such as [{{kind: {example}}}], of the kinds {kinds}"
    needed = [
        f"{name}.{key}: {inner.description}"
        for group in groups
        for key, inner in group.model_fields.items()
        if inner.is_required()
    ]
    return "; ".join(needed) if len(groups) == 1 else field.description


def _nearest(where: Location, model: type[BaseModel]) -> str | None:
    """Return the known key, of this group or of any other, that looks most like the unknown one."""
    unknown = str(where[-1])
    here = difflib.get_close_matches(unknown, model.model_fields, n=1, cutoff=0.6)
    if here:
        return _dotted((*where[:-1], here[0]))
    everywhere = {key.rsplit(".", 1)[-1]: key for key in _all_keys()}
    there = difflib.get_close_matches(unknown, everywhere, n=1, cutoff=0.75)
    return everywhere[there[0]] if there else None


def _all_keys() -> Iterable[str]:
    for group, field in RunSpec.model_fields.items():
        yield group
        for model in _models_in(field.annotation):
            yield from (f"{group}.{name}" for name in model.model_fields)


def _fields_in_words(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _dotted(where: Location) -> str:
    return ".".join(str(part) for part in where)


def _kind(value: object) -> str:
    return {"list": "list", "str": "text", "int": "number", "float": "number"}.get(
        type(value).__name__, type(value).__name__
    )
