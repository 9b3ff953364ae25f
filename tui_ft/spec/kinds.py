"""Groups that are of several kinds (`method.kind`): what of one kind another does not have."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tui_ft.spec.fields import fields_of, value_at
from tui_ft.spec.loading import put

_KIND: Final = ".kind"


def of_other_kinds(values: Mapping[str, Any], group: str, kind: str) -> tuple[str, ...]:
    """Return the names in a group that this kind of it does not have.

    Args:
        values: what is said of a run; the group may be of another kind there, or not be there.
        group: a dotted key, such as `method`.
        kind: the one that it gets.
    """
    try:
        said = value_at(values, group)
    except KeyError:
        return ()
    if not isinstance(said, Mapping):
        return ()
    changed = copy.deepcopy(dict(values))
    put(changed, f"{group}{_KIND}", kind)
    fields = fields_of(changed)
    if not any(one.key == f"{group}{_KIND}" and kind in one.choices for one in fields):
        return ()  # there is no such kind, which is told elsewhere
    known = {one.key.removeprefix(f"{group}.").partition(".")[0] for one in fields}
    return tuple(name for name in said if name not in known)


def without_other_kinds(
    values: Mapping[str, Any], overrides: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return ``values`` without what belongs to kinds that ``overrides`` put others in place of.

    Returns:
        The values, and what was left out, in words.
    """
    kept, said = copy.deepcopy(dict(values)), []
    for override in overrides:
        key, _, kind = (part.strip() for part in override.partition("="))
        if not key.endswith(_KIND):
            continue
        group = key.removesuffix(_KIND)
        names = of_other_kinds(kept, group, kind)
        for name in names:
            inner = value_at(kept, group)
            assert isinstance(inner, dict)
            del inner[name]
        if names:
            was = ", ".join(f"{group}.{name}" for name in names)
            said.append(f"{was}: left out, the kind `{kind}` has no such key")
    return kept, said
