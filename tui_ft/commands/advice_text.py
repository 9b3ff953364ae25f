"""Advice as `ftui recommend` prints it: the path as a tree, the candidates, the run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from tui_ft import text
from tui_ft.advise.advice import Advice, Candidate, Choice, Taken
from tui_ft.advise.node import STAGES
from tui_ft.widgets.advice_signs import FITS, HOW, differing, phase_line
from tui_ft.widgets.signs import sign

_WIDTH: Final = 98
_OTHERS: Final = 6
_BAR: Final = 20


def advice_lines(advice: Advice) -> Iterator[str]:
    """Return the whole advice, line by line."""
    yield f"{advice.approach_name}: costs {advice.cost}; {advice.time} to deploy"
    yield ""
    legend = ", ".join(f"{sign(mark).text()} {how}" for how, mark in HOW.items())
    yield f"how it was decided ({legend})"
    yield from _path(advice.path)
    if advice.candidates:
        yield ""
        yield from _table(advice.candidates)
    if advice.run is not None:
        yield ""
        first = ", the first of the chain" if advice.chain else ""
        yield f"the run: {advice.run.name}{first}"
        yield from _choices(advice.choices)
    else:
        yield ""
        yield from _wrapped(f"no run: {advice.no_run}", "", "  ")
        yield from _choices(advice.choices)
    yield from _phases(advice)
    if advice.cautions:
        yield ""
        yield "beware"
        for caution in advice.cautions:
            source = f" [{caution.source}]" if caution.source else ""
            mark = sign(caution.severity).text()
            yield from _wrapped(f"{mark} {caution.text}{source}", "  ", "    ")
    if advice.unused:
        yield ""
        yield f"answered, but not asked on this path: {', '.join(advice.unused)}"


def _path(path: Sequence[Taken]) -> Iterator[str]:
    for stage in STAGES:
        nodes = [one for one in path if one.stage == stage]
        if not nodes:
            continue
        yield stage
        for at, one in enumerate(nodes):
            last = at == len(nodes) - 1
            stem, branch = ("   ", "└─ ") if last else ("│  ", "├─ ")
            yield f"{branch}{one.question}  ({one.node})"
            yield from _wrapped(f"{sign(HOW[one.how]).text()} {_said(one)}", stem, f"{stem}  ")
            source = f" [{one.source}]" if one.source else ""
            yield from _wrapped(f"{one.reason}{source}", f"{stem}  ", f"{stem}  ")
            others = ", ".join(other.choice for other in one.others[:_OTHERS])
            more = " …" if len(one.others) > _OTHERS else ""
            if others:
                yield from _wrapped(f"not: {others}{more}", f"{stem}  ", f"{stem}  ")


def _said(taken: Taken) -> str:
    """Return what was answered, in words; its id before it where the words do not begin so."""
    if taken.number or taken.label.startswith(taken.choice):
        return taken.choice if taken.number else taken.label
    return f"{taken.choice}: {taken.label}"


def _table(candidates: Sequence[Candidate]) -> Iterator[str]:
    free = min((one.free for one in candidates if one.free is not None), default=None)
    each = " on each GPU" if any(one.gpus > 1 for one in candidates) else ""
    yield f"ways to train, against {text.memory(free)} free{each} (GiB: low, expected, high)"
    head = ("", "way", "low", "exp.", "high", "", "time", "rows at once")
    rows = [head, *(_cells(one) for one in candidates)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for number, row in enumerate(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        if number:
            yield from _about(candidates[number - 1])


def _cells(one: Candidate) -> tuple[str, ...]:
    mark = sign("selected").text() if one.chosen else " "
    checkpointing = ", checkpointing" if one.checkpointing else ""
    gpus = f" on each of {one.gpus}" if one.gpus > 1 else ""
    return (
        f"{mark}{sign(FITS[one.fit]).text()}",
        one.name,
        *(text.gibibytes(size) for size in (one.low, one.expected, one.high)),
        _bar(one),
        text.duration(one.seconds),
        f"{one.batch} of {one.max_length:,}{gpus}{checkpointing}",
    )


def _bar(one: Candidate) -> str:
    """Return the band against free memory: `=` to low, `-` to high, `|` where free memory ends."""
    if one.high is None or one.low is None or not one.free:
        return ""
    most = max(one.high, one.free)
    low, high, free = (round(_BAR * size / most) for size in (one.low, one.high, one.free))
    cells = ["=" if at < low else "-" if at < high else " " for at in range(_BAR)]
    return f"{''.join(cells[:free])}|{''.join(cells[free:])}"


def _about(one: Candidate) -> Iterator[str]:
    why = one.problem or one.why_not
    said = "taken" if one.chosen else "not taken"
    yield from _wrapped(f"{said}: {why}", "      ", "        ")
    yield from _wrapped(f"quality: {one.quality}; risk: {one.risk}", "      ", "        ")


def _choices(choices: Sequence[Choice]) -> Iterator[str]:
    width = max((len(choice.key) for choice in choices), default=0)
    for choice in choices:
        mark = sign(HOW[choice.how]).text()
        value = "none" if choice.value is None else _value(choice.value)
        see = f"  (see {choice.node})" if choice.node else ""
        yield f"  {mark} {choice.key.ljust(width)}  {value}{see}"
        if choice.node:
            continue
        source = f" [{choice.source}]" if choice.source else ""
        yield from _wrapped(f"{choice.reason}{source}", "      ", "      ")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _phases(advice: Advice) -> Iterator[str]:
    if len(advice.phases) <= 1:  # none where nothing is trained
        return
    first, *later = advice.phases
    yield ""
    yield f"the chain: {advice.chain}" if advice.chain else "the stages"
    for number, phase in enumerate(advice.phases, 1):
        yield from _wrapped(f"{number} {phase.objective}  {phase_line(phase)}", "  ", "    ")
    for number, phase in enumerate(later, 2):
        yield ""
        yield f"stage {number} of {len(advice.phases)}: {phase.name} ({phase.text})"
        yield from _choices(differing(first, phase))


def _wrapped(said: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.plain(said).split()),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
