"""What the Advise screen says: the path, the ways to train, why, and the run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.advise.advice import Advice, Candidate, Choice, Taken
from tui_ft.advise.node import STAGES, Stage
from tui_ft.widgets.advice_signs import FITS, HOW, differing, phase_line
from tui_ft.widgets.bars import bar_string
from tui_ft.widgets.signs import sign

_BAR: Final = 16
_LEAST_BAR: Final = 92
_LEAST_NAME: Final = 8
_FIGURES: Final = 36
"""Cells of a way's line beside its name and bar."""
_QUESTION_SHARE: Final = 0.55


@dataclass(frozen=True, slots=True)
class PathLine:
    """A line of the path: a stage's name, or a node that was passed."""

    stage: Stage
    node: Taken | None = None


def path_lines(advice: Advice) -> tuple[PathLine, ...]:
    """Return the path with a line for each stage that it passes."""
    lines: list[PathLine] = []
    for stage in STAGES:
        nodes = [one for one in advice.path if one.stage == stage]
        if nodes:
            lines += [PathLine(stage), *(PathLine(stage, node) for node in nodes)]
    return tuple(lines)


def path_line(line: PathLine, width: int) -> str:
    """Return a line of the path: how it is known, the question, the answer."""
    one = line.node
    if one is None:
        return text.fitted(line.stage, width)
    mark = sign("marked" if one.own else HOW[one.how]).text()
    asked = int((width - 6) * _QUESTION_SHARE)
    answer = one.choice if one.number else one.label
    return f" {mark} {text.fitted(one.question, asked)} {text.one_line(answer, width - asked - 5)}"


def about_node(one: Taken, width: int, height: int) -> Content:
    """Return how a question was answered and why, what else could be, and by whom it is said.

    What there is no room for is left out in whole: other answers first, which `enter` shows.

    Args:
        one: the question.
        width: cells of a line.
        height: lines.
    """
    how = f"you said so; the tree would say `{one.own}`" if one.own else one.how
    asked, said = text.plain(one.question), text.plain(f"{one.label}: {one.reason}")
    lines = [
        Content.assemble((asked, "bold"), f"  {text.plain(how)}"),
        Content.assemble(("→ ", "$accent"), said),
    ]
    source = text.plain(f"source: {one.source}") if one.source else ""
    left = height - _lines_of(f"{asked}  {how}", width) - _lines_of(f"→ {said}", width)
    if source and _lines_of(source, width) < left:
        lines.append(Content.styled(source, "$text-muted"))
        left -= _lines_of(source, width)
    if one.others:
        lines.append(Content.styled(_otherwise(one, width, max(1, left)), "$text-muted"))
    return Content("\n").join(lines)


def _otherwise(one: Taken, width: int, lines: int) -> str:
    """Return as many of the other answers, in words, as there are lines for."""
    labels = [text.plain(other.label) for other in one.others]
    more = "any number; " if one.number else ""
    for shown in range(len(labels), 0, -1):
        rest = f", and {len(labels) - shown} more" if shown < len(labels) else ""
        said = f"enter answers otherwise: {more}{', '.join(labels[:shown])}{rest}"
        if _lines_of(said, width) <= lines:
            return said
    return f"enter answers otherwise, in {len(labels)} ways"


def _lines_of(said: str, width: int) -> int:
    return len(textwrap.wrap(said, max(20, width))) or 1


def headline(advice: Advice) -> Content:
    """Return what is advised, what it costs, and how long until it is deployed."""
    said = f"   costs {advice.cost}; {advice.time} to deploy"
    return Content.assemble((text.plain(advice.approach_name), "bold"), text.plain(said))


def ways(advice: Advice, width: int) -> Content:
    """Return every way to train against the memory that is free, in GiB: low, expected, high."""
    if not advice.candidates:
        return Content(text.plain(advice.no_run or "nothing is trained"))
    longest = max(len(one.name) for one in advice.candidates)
    has_bar = width >= _LEAST_BAR
    name_width = max(_LEAST_NAME, min(longest, width - _FIGURES - (_BAR + 2) * has_bar))
    head = f"    {'way':<{name_width}}    low   exp.   high  {' ' * (_BAR + 2) * has_bar}   time"
    lines = [Content.styled(head, "$text-muted")]
    for one in advice.candidates:
        lines.append(_way(one, name_width, has_bar))
        why = one.problem or one.why_not
        said = f"{one.name}: {why}" if len(one.name) > name_width else why
        lines += [
            Content.styled(f"      {line}", "$text-muted")
            for line in textwrap.wrap(text.plain(said), max(20, width - 7))
        ]
    free = advice.candidates[0].free
    lines.append(Content(f"    against {text.memory(free)} free"))
    return Content("\n").join(lines)


def _way(one: Candidate, name_width: int, has_bar: bool) -> Content:
    chosen = sign("selected").text() if one.chosen else " "
    fits = sign(FITS[one.fit])
    drawn = ""
    if has_bar:
        share = one.low / one.free if one.low is not None and one.free else None
        high = one.high / one.free if one.high is not None and one.free else None
        drawn = f"  {bar_string(share, _BAR, predicted=high)}"
    figures = "  ".join(f"{text.gibibytes(size):>5}" for size in (one.low, one.expected, one.high))
    time = text.duration(one.seconds)
    return Content.assemble(
        f"{chosen} ",
        fits.content(),
        (f" {text.fitted(one.name, name_width)}  {figures}{drawn}  {time:>7}",
         "bold" if one.chosen else ""),
    )  # fmt: skip


def run_text(advice: Advice) -> Content:
    """Return the run's fields with their reasons, the stages after it, and what to beware of."""
    lines = [*_stages(advice), *_cautions(advice)]
    if advice.run is None:
        lines.append(Content(text.plain(f"no run: {advice.no_run}")))
    lines += [_field(choice) for choice in advice.choices]
    for phase in advice.phases[1:]:
        said = f"{phase.objective}: {phase.text}; as above, but for"
        lines.append(Content.styled(text.plain(said), "bold"))
        lines += [_field(choice) for choice in differing(advice.phases[0], phase)]
    return Content("\n").join(lines)


def _stages(advice: Advice) -> Iterator[Content]:
    """Return the stages of a chain, each with what it takes."""
    if len(advice.phases) == 1:
        return
    if advice.chain:
        said = f"chain {advice.chain}: `ctrl+s` starts it, `w` writes it"
        yield Content.styled(text.plain(said), "bold")
    for number, phase in enumerate(advice.phases, 1):
        said = f"{number} {phase.objective}  {phase_line(phase)}"
        yield sign(FITS[phase.fit]).content(text.plain(said))


def _field(choice: Choice) -> Content:
    mark = sign(HOW[choice.how]).text()
    value = "none" if choice.value is None else f"{choice.value}"
    return Content.assemble(
        f"{mark} ", (text.plain(f"{choice.key}: {value}"), "bold"), f"  {text.plain(choice.reason)}"
    )


def _cautions(advice: Advice) -> Iterator[Content]:
    for caution in advice.cautions:
        source = f" [{caution.source}]" if caution.source else ""
        yield sign(caution.severity).content(text.plain(f"{caution.text}{source}"))


def what_the_chain_takes(advice: Advice) -> str:
    """Return what each stage of the chain takes of memory and time, in a sentence."""
    stages = [
        f"{one.objective} {text.memory(one.expected)} of {text.memory(one.free)}, "
        f"{text.duration(one.seconds)}"
        for one in advice.phases
    ]
    whole = [one.seconds for one in advice.phases]
    known = [seconds for seconds in whole if seconds is not None]
    together = f"; about {text.duration(sum(known))} in all" if len(known) == len(whole) else ""
    return f"{'; '.join(stages)}{together}"
