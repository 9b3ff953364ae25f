"""What the Configure screen says: a field's line, what it means, what is wrong, what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.spec.draft import Draft
from tui_ft.spec.fields import SpecField, shown_value
from tui_ft.spec.problems import Problem
from tui_ft.widgets.signs import sign

_MOST_FAULTS: Final = 4
_KEY_WIDTH: Final = 38
_LEAST_KEY: Final = 12
_VALUE_WIDTH: Final = 18
_CHANGES_SHOWN: Final = 12


def field_line(draft: Draft, one: SpecField, width: int) -> str:
    """Return a field's line: a sign for what is wrong or was changed, its key, its value."""
    if draft.problem_of(one.key) is not None:
        mark = sign("bad").text()
    elif any(change.key == one.key for change in draft.changes):
        mark = sign("note").text()
    else:
        mark = " "
    value = draft.text_of(one) or ("(has to be given)" if one.required else "")
    said = f"{value} {one.unit}" if one.unit and value.replace(".", "").isdigit() else value
    key_width = min(_KEY_WIDTH, max(_LEAST_KEY, width - _VALUE_WIDTH))
    return f"{mark} {text.fitted(one.key, key_width)} {text.one_line(said, width - key_width - 3)}"


def about_field(draft: Draft, one: SpecField) -> Content:
    """Return what a field means, its default, where that is from, and what is wrong with it.

    What is wrong with no field in particular stands there too: fields that do not go together.
    """
    lines = [Content.styled(one.key, "bold")]
    wrong = draft.problem_of(one.key)
    if wrong is not None:
        lines.append(problem_line(wrong))
    lines += [problem_line(other) for other in _of_no_field(draft)]
    lines.append(Content(text.plain(one.help)))
    facts = []
    if one.choices and one.kind != "choice":
        facts.append(f"may be {', '.join(one.choices)}")
    elif one.kind == "choice":
        facts.append(", ".join(one.choices))
    if one.required:
        facts.append("has to be given")
    elif not one.is_group and not one.chooses:
        facts.append(f"default {shown_value(one.default)}")
    if one.unit:
        facts.append(one.unit)
    if one.source:
        facts.append(one.source)
    lines.append(Content.styled(text.plain("   ".join(facts)), "$text-muted"))
    reason = draft.reasons.get(one.key)
    if reason:
        lines.append(Content.assemble(("why: ", "$accent"), text.plain(reason)))
    return Content("\n").join(lines)


def _of_no_field(draft: Draft) -> list[Problem]:
    """Return the faults that no field is marked with."""
    if not draft.problems:
        return []
    marked = [draft.problem_of(field.key) for field in draft.fields]
    return [problem for problem in draft.problems if problem not in marked]


def headline(draft: Draft) -> Content:
    """Return the run's name, where it began, how far it is from there, and whether it can start."""
    name = next((draft.text_of(one) for one in draft.fields if one.key == "name"), "")
    changes = len(draft.changes)
    origin = f"from {draft.origin}" if draft.origin else ""
    changed = f"{changes} change{'s' if changes != 1 else ''}" if changes else "unchanged"
    faults = len(draft.problems)
    state = (
        sign("bad").content(f"{faults} fault{'s' if faults != 1 else ''}")
        if faults
        else sign("good").content("can be checked and started (ctrl+s)")
    )
    parts = (Content.styled(text.plain(name), "bold"), text.plain(origin), changed)
    return Content("   ").join([*(Content(p) if isinstance(p, str) else p for p in parts), state])


def notes(draft: Draft, lacking: Sequence[str] = ()) -> Content:
    """Return all faults, what is not known, and what is otherwise than in the beginning."""
    lines = [problem_line(problem) for problem in draft.problems]
    lines += [sign("unknown").content(text.plain(words)) for words in lacking]
    changes = draft.changes
    if changes:
        lines.append(Content.styled(f"changed since {draft.origin or 'the beginning'}", "bold"))
    for change in changes[:_CHANGES_SHOWN]:
        before, after = (
            text.one_line(value, 40) or "nothing" for value in (change.before, change.after)
        )
        lines.append(Content(f"{text.plain(change.key)}: {before} → {after}"))
    if len(changes) > _CHANGES_SHOWN:
        lines.append(Content(f"and {len(changes) - _CHANGES_SHOWN} more"))
    return Content("\n").join(lines)


def problem_line(wrong: Problem) -> Content:
    """Return a fault with its sign."""
    return sign("bad").content(text.plain(str(wrong)))


def about_yaml(draft: Draft, unreadable: str) -> Content:
    """Return what is wrong with a draft that is written as YAML.

    Args:
        draft: as it could be read last.
        unreadable: why what stands there now cannot be; empty when it can.
    """
    if unreadable:
        return sign("bad").content(text.plain(unreadable))
    wrong = [problem_line(one) for one in draft.problems[:_MOST_FAULTS]]
    return Content("\n").join(wrong or [Content("this is a run")])


def matching(
    fields: Sequence[SpecField], draft: Draft, sought: str, *, everything: bool
) -> tuple[SpecField, ...]:
    """Return the fields in sight: the basic ones and those that say or lack something, or all.

    Args:
        sought: a part of the key or the help; looked for among all fields.
    """
    wanted = sought.lower()
    if wanted:
        return tuple(f for f in fields if wanted in f.key.lower() or wanted in f.help.lower())
    if everything:
        return tuple(fields)
    return tuple(
        one
        for one in fields
        if one.basic
        or one.required
        or draft.problem_of(one.key) is not None
        or (draft.is_set(one.key) and one.key != "description")
    )
