"""A run that is being written: what has been said of it so far, and what is wrong with that."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from tui_ft.spec import yaml_text
from tui_ft.spec.fields import NONE, ON, SpecField, fields_of, shown_value, value_at
from tui_ft.spec.kinds import of_other_kinds
from tui_ft.spec.loading import build_spec, parse_yaml, put, read_value
from tui_ft.spec.presets import find_presets
from tui_ft.spec.problems import Problem, SpecError
from tui_ft.spec.run_spec import RunSpec

FIRST_PRESET: Final = "sft-lora"
"""What a run begins with when nothing else is chosen."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field that is otherwise than where the draft began; texts as a form shows them."""

    key: str
    before: str
    after: str


@dataclass(frozen=True)
class Draft:
    """A run as far as it has been written. Editing gives a new one.

    Attributes:
        values: what has been said; everything else has its default.
        began_as: what had been said when it began, by a preset or an advice.
        origin: the name of that beginning, for people.
        reasons: why the beginning is as it is, by dotted key.
    """

    values: Mapping[str, Any]
    began_as: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, values: Mapping[str, Any], origin: str, reasons: Mapping[str, str] | None = None
    ) -> Draft:
        """Return a draft that has just these ``values`` and counts changes from them."""
        return cls(copy.deepcopy(dict(values)), copy.deepcopy(dict(values)), origin, reasons or {})

    @classmethod
    def from_preset(cls, name: str) -> Draft:
        """Return a draft that begins with a preset; an empty one where there is none so called."""
        preset = find_presets().get(name)
        return cls({}) if preset is None else cls.begin(preset.values, name)

    @classmethod
    def of(cls, spec: RunSpec, origin: str, reasons: Mapping[str, str] | None = None) -> Draft:
        """Return a draft that says of a run what is not so by default anyway."""
        whole = spec.model_dump(mode="json")
        said = spec.model_dump(mode="json", exclude_defaults=True)
        for one in fields_of(whole):
            # Without its kind nobody knows what a group's fields are.
            if one.chooses and value_at(whole, one.group) is not None:
                put(said, one.key, value_at(whole, one.key))
        return cls.begin(said, origin, reasons)

    @cached_property
    def fields(self) -> tuple[SpecField, ...]:
        """The fields that the run has as it stands."""
        return fields_of(self.values)

    @cached_property
    def _built(self) -> tuple[RunSpec | None, tuple[Problem, ...]]:
        try:
            return build_spec(self.values), ()
        except SpecError as error:
            return None, error.problems

    @property
    def spec(self) -> RunSpec | None:
        """The run; None while something is wrong or missing."""
        return self._built[0]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong or missing."""
        return self._built[1]

    def problem_of(self, key: str) -> Problem | None:
        """Return what is wrong with a field; a group that is missing is wrong in what it needs."""
        needs = {one.key for one in self.fields if one.required}
        for problem in self.problems:
            is_inside = key in needs and key.startswith(f"{problem.key}.")
            if problem.key == key or is_inside or problem.key.startswith(f"{key}."):
                return problem
        return None

    def is_set(self, key: str) -> bool:
        """Return whether something has been said at ``key``."""
        try:
            value_at(self.values, key)
        except KeyError:
            return False
        return True

    def text_of(self, one: SpecField) -> str:
        """Return a field's value as a form shows it; empty for what has to be said and is not."""
        try:
            said = value_at(self.values, one.key)
        except KeyError:
            return "" if one.required else shown_value(one.default)
        return ON if one.is_group and said is not None else shown_value(said)

    def with_text(self, one: SpecField, text: str) -> Draft:
        """Return the draft with what was typed into a field; nothing typed means the default."""
        typed = text.strip()
        if not typed:
            return self.without(one.key)
        if typed == NONE and one.may_be_none:
            return self.with_value(one.group if one.chooses else one.key, None)
        if one.is_group:
            return self.with_value(one.key, {})
        if one.chooses:
            return self._with_choice(one, typed)
        is_text = one.kind in ("text", "choice")
        return self.with_value(one.key, typed if is_text else read_value(typed))

    def with_value(self, key: str, value: object) -> Draft:
        """Return the draft with ``value`` at a dotted key."""
        values = copy.deepcopy(dict(self.values))
        chooser = next(
            (f for f in self.fields if f.chooses and key.startswith(f"{f.group}.")), None
        )
        if chooser is not None and not self.is_set(chooser.key) and chooser.default != NONE:
            put(values, chooser.key, chooser.default)  # else nobody knows whose field it is
        put(values, key, value)
        return replace(self, values=values)

    def without(self, key: str) -> Draft:
        """Return the draft with the default at ``key``; groups that say nothing more go as well."""
        values = copy.deepcopy(dict(self.values))
        _remove(values, key.split("."))
        return replace(self, values=values)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What is otherwise than in the beginning, in the order of the form."""
        before = Draft(self.began_as)
        old, new = before._texts, self._texts
        keys = (*new, *(key for key in old if key not in new))
        changed = (key for key in keys if old.get(key) != new.get(key))
        # A field that comes or goes with a choice is a change of its own only if it was set.
        return tuple(
            Change(key, old.get(key, ""), new.get(key, ""))
            for key in changed
            if (key in old and key in new) or before.is_set(key) or self.is_set(key)
        )

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {one.key: self.text_of(one) for one in self.fields}

    def _with_choice(self, one: SpecField, kind: str) -> Draft:
        """Return the draft with another kind of a group; what that kind does not have goes."""
        chosen = self.with_value(one.key, kind)
        for name in of_other_kinds(self.values, one.group, kind):
            chosen = chosen.without(f"{one.group}.{name}")
        return chosen

    def to_yaml(self) -> str:
        """Return what has been said as YAML, in the order of the form."""
        ordered: dict[str, Any] = {}
        for one in self.fields:
            _copy(self.values, ordered, one.key)
        _add_missing(self.values, ordered)
        written = yaml_text.write(ordered)
        return written if ordered else ""

    def with_yaml(self, text: str, file: str = "YAML") -> Draft:
        """Return the draft with what ``text`` says in place of all that was said.

        Raises:
            SpecError: it is no YAML, or no mapping.
        """
        values, _ = parse_yaml(text, file)
        return replace(self, values=values)


def _remove(values: dict[str, Any], path: list[str]) -> None:
    name, *rest = path
    if not rest:
        values.pop(name, None)
        return
    child = values.get(name)
    if not isinstance(child, dict):
        return
    _remove(child, rest)
    if not child:
        del values[name]


def _copy(source: Mapping[str, Any], target: dict[str, Any], key: str) -> None:
    try:
        value = value_at(source, key)
    except KeyError:
        return
    *groups, last = key.split(".")
    for group in groups:
        target = target.setdefault(group, {})
    target[last] = {} if isinstance(value, Mapping) and not value else copy.deepcopy(value)


def _add_missing(source: Mapping[str, Any], target: dict[str, Any]) -> None:
    """Keep what is no field of the run as well: it is a fault that the person has to see."""
    for key, value in source.items():
        if key not in target:
            target[key] = copy.deepcopy(value)
        elif isinstance(value, Mapping) and isinstance(target[key], dict):
            _add_missing(value, target[key])
