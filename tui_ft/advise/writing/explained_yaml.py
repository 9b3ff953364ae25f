"""Run or chain as YAML with the reason for each field: a file to read, to change, to start."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from tui_ft import text
from tui_ft.advise.advice import Advice, Choice, Phase
from tui_ft.spec import RunSpec, yaml_text
from tui_ft.spec.group import Group

_WIDTH: Final = 98
_EXAMPLES: Final = (
    "FILL IN: one of these, or several, whose weights are added up:",
    "  - {kind: reward_model, model: my-reward-run}       # of the objective reward, or on the Hub",
    "  - {kind: exact_match, extract: last_number}        # with the row's own answer",
    "  - {kind: regex, pattern: '<think>.*</think>.*'}    # of the right form",
    "  - {kind: json, json_schema: schema.json}           # valid, and of a schema",
    "  - {kind: length, most: 300, margin: 100}           # beside others, against endless answers",
    "  - {kind: http, url: 'http://localhost:8000/score'} # what an endpoint of yours gives",
    "  - {kind: python, file: judge.py, allow_code: true} # what a function of yours gives",
)


def explained_yaml(advice: Advice) -> str:
    """Return what is advised as YAML, with reasons as comments: a run, or a chain of runs.

    `load_spec` reads the run back, `load_chain` the chain. Fields that nothing is said of, and that
    are as they are by default, are left out. What only a person can fill in stands there empty,
    marked FILL IN, and is refused as long as it does.

    Raises:
        ValueError: there is neither.
    """
    if advice.to_write is None:
        raise ValueError(f"there is no run to write: {advice.no_run}")
    lines = [*_head(advice)]
    if not advice.chain:
        return _text([*lines, *_run(advice.phases[0], advice.to_write)])
    lines += [*_entry("version", 1), *_entry("name", advice.chain)]
    lines += [*_entry("description", " then ".join(phase.name for phase in advice.phases))]
    lines.append("stages:")
    for number, phase in enumerate(advice.phases, 1):
        assert phase.run is not None, "all stages of a chain have a run"
        takes = "; ".join((f"Stage {number}: {phase.name}", *_takes(phase)))
        lines += _comment(takes, indent="  ")
        lines += [f"  - name: {phase.objective}", "    run:"]
        lines += _run(phase, phase.run, indent="      ")
    return _text(lines)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _run(phase: Phase, run: RunSpec, indent: str = "") -> list[str]:
    reasons = {choice.key: choice for choice in phase.choices}
    said = run.model_dump(mode="json")
    lines = [*_entry("version", said["version"], indent), *_entry("name", said["name"], indent)]
    if said["description"]:
        lines += _entry("description", said["description"], indent)
    for group in said:
        if isinstance(said[group], dict):
            lines += _group(getattr(run, group), group, said[group], reasons, phase.fill, indent)
    return lines


def _takes(phase: Phase) -> Iterator[str]:
    """Return what a stage takes of memory and time, as far as it is known."""
    if phase.expected is not None:
        yield (
            f"{text.memory(phase.expected)} expected ({text.memory(phase.low)} to "
            f"{text.memory(phase.high)}) of {text.memory(phase.free)} free"
        )
    if phase.seconds is not None:
        low, high = text.duration(phase.seconds_low), text.duration(phase.seconds_high)
        yield f"about {text.duration(phase.seconds)} ({low} to {high})"


def _head(advice: Advice) -> Iterator[str]:
    """Return what the whole is, as comments: the path in short, the memory, what to beware of."""
    start = "`ftui chain start FILE`" if advice.chain else "`ftui train FILE`"
    yield from _comment(f"Advised by ftui: {advice.approach_name}; start it with {start}")
    if advice.fill:
        yield from _comment(f"To be filled in before: {', '.join(advice.fill)}")
    if not advice.chain and advice.phases[0].expected is not None:
        yield from _comment("It takes " + "; ".join(_takes(advice.phases[0])))
    for later in () if advice.chain else advice.phases[1:]:
        yield from _comment(f"Then: {later.name} ({later.text})")
    for caution in advice.cautions:
        yield from _comment(f"{caution.severity}: {caution.text}")


def _group(
    group: Group,
    at: str,
    said: dict[str, Any],
    reasons: dict[str, Choice],
    fill: tuple[str, ...],
    indent: str = "",
) -> list[str]:
    """Return one group's lines: what has a reason, and what is not as it is by default.

    Args:
        group: the group of the run.
        at: its dotted key.
        said: its values, as YAML takes them.
        reasons: by dotted key.
        fill: keys that only a person can fill in.
        indent: before the group's own key.
    """
    inner = f"{indent}  "
    written = []
    for key, value in sorted(said.items(), key=lambda item: item[0] != "kind"):
        reason = reasons.get(f"{at}.{key}")
        default = type(group).model_fields[key].get_default(call_default_factory=True)
        within = getattr(group, key)
        if isinstance(within, Group) and within != default:
            written += _group(within, f"{at}.{key}", value, reasons, fill, inner)
            continue
        if reason is None and value == default:
            continue
        if reason is not None:
            written += _comment(_because(reason), indent=inner)
        if f"{at}.{key}" in fill:
            written += [f"{inner}# {line}".rstrip() for line in _EXAMPLES]
            value = []  # noqa: PLW2901 - refused until it holds something
        elif reason is not None and isinstance(reason.value, list):
            value = reason.value  # noqa: PLW2901 - as it was chosen, without what is by default
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
    dumped = yaml_text.write({key: value}, width=_WIDTH - len(indent))
    return [f"{indent}{line}" for line in dumped.splitlines()]
