"""The run as YAML with the reason for each field above it: a file to read, to change, to start."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

import yaml

from tui_ft import text
from tui_ft.advise.advice import Advice, Choice
from tui_ft.spec.group import Group

_WIDTH: Final = 98


def explained_yaml(advice: Advice) -> str:
    """Return the run of ``advice`` as YAML, with reasons as comments; `load_spec` reads it back.

    Fields that nothing is said of, and that are as they are by default, are left out.

    Raises:
        ValueError: there is no run.
    """
    if advice.run is None:
        raise ValueError(f"there is no run to write: {advice.no_run}")
    reasons = {choice.key: choice for choice in advice.choices}
    said = advice.run.model_dump(mode="json")
    lines = [*_head(advice), *_entry("version", said["version"]), *_entry("name", said["name"])]
    if said["description"]:
        lines += _entry("description", said["description"])
    for group in said:
        if isinstance(said[group], dict):
            lines += _group(getattr(advice.run, group), group, said[group], reasons)
    return "\n".join(lines) + "\n"


def _head(advice: Advice) -> Iterator[str]:
    """Return what the whole is, as comments: the path in short, the memory, what to beware of."""
    yield from _comment(f"Advised by ftui: {advice.approach_name}; start it with `ftui train FILE`")
    chosen = advice.candidate
    if chosen is not None and chosen.expected is not None:
        yield from _comment(
            f"Memory: {text.memory(chosen.expected)} expected ({text.memory(chosen.low)} to "
            f"{text.memory(chosen.high)}) of {text.memory(chosen.free)} free"
        )
    if chosen is not None and chosen.seconds is not None:
        yield from _comment(f"Time: about {text.duration(chosen.seconds)}, roughly")
    for later in advice.phases[1:]:
        yield from _comment(f"Then: {later.name} ({later.text})")
    for caution in advice.cautions:
        yield from _comment(f"{caution.severity}: {caution.text}")


def _group(
    group: Group, at: str, said: dict[str, Any], reasons: dict[str, Choice], indent: str = ""
) -> list[str]:
    """Return one group's lines: what has a reason, and what is not as it is by default.

    Args:
        group: the group of the run.
        at: its dotted key.
        said: its values, as YAML takes them.
        reasons: by dotted key.
        indent: before the group's own key.
    """
    inner = f"{indent}  "
    written = []
    for key, value in sorted(said.items(), key=lambda item: item[0] != "kind"):
        reason = reasons.get(f"{at}.{key}")
        default = type(group).model_fields[key].get_default(call_default_factory=True)
        within = getattr(group, key)
        if isinstance(within, Group) and within != default:
            written += _group(within, f"{at}.{key}", value, reasons, inner)
            continue
        if reason is None and value == default:
            continue
        if reason is not None:
            written += _comment(_because(reason), indent=inner)
        written += _entry(key, value, indent=inner)
    return [f"{indent}{at.rpartition('.')[2]}:", *written] if written else []


def _because(choice: Choice) -> str:
    how = "" if choice.how == "measured" else choice.how
    told = "; ".join(part for part in (choice.source, how) if part)
    return f"{choice.reason} [{told}]" if told else choice.reason


def _comment(said: str, indent: str = "") -> list[str]:
    """Return text as comment lines: made plain, so that no name in it can end the comment."""
    flat = " ".join(text.plain(said).split())
    return textwrap.wrap(
        flat,
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _entry(key: str, value: object, indent: str = "") -> list[str]:
    dumped = yaml.safe_dump({key: value}, allow_unicode=True, sort_keys=False, width=_WIDTH)
    return [f"{indent}{line}" for line in dumped.splitlines()]
