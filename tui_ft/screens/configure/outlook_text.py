"""What a run comes to, in words and bars: memory on each GPU; steps, tokens, time, disk."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from tui_ft import text
from tui_ft.advise.estimator import Seconds
from tui_ft.memory.figure import Figure
from tui_ft.plan.outlook import Outlook
from tui_ft.text import NOT_AVAILABLE
from tui_ft.widgets.advice_signs import FITS
from tui_ft.widgets.bars import bar_string
from tui_ft.widgets.signs import sign

_BAR: Final = 16
_SHORT_BAR: Final = 8
_ROOMY: Final = 100


def outlook_lines(outlook: Outlook, width: int, behind: str = "") -> Content:
    """Return what the run comes to: memory, each GPU where there are several, the rest.

    Args:
        outlook: what is known.
        width: cells of a line.
        behind: what is being done about an estimate, in a word or two.
    """
    lines = [_memory(outlook, width, behind)]
    if len(outlook.gpus) > 1:
        lines.append(_each_gpu(outlook, width))
    if outlook.host:
        lines.append(_host(outlook, width))
    return Content("\n").join([*lines, _rest(outlook, width)])


def _memory(outlook: Outlook, width: int, behind: str) -> Content:
    memory = outlook.memory
    if not isinstance(memory, Figure):
        return Content(text.plain(f"memory n/a: {memory.reason}"))
    band = f"{text.gibibytes(memory.low)} to {text.gibibytes(memory.high)}"
    of = "" if outlook.free is None else f" of {text.gibibytes(outlook.free)}"
    drawn = ""
    if outlook.free:
        cells = _BAR if width >= _ROOMY else _SHORT_BAR
        share, high = memory.expected / outlook.free, memory.high / outlook.free
        drawn = bar_string(share, cells, predicted=high)
    fits = sign(FITS[outlook.fit]).content() if outlook.fit is not None else ""
    about = "~" if memory.source == "estimate" else ""
    return Content.assemble(
        "memory ", drawn, " " * bool(drawn), fits, " " * bool(fits),
        (f"{about}{text.gibibytes(memory.expected)}{of} GiB", "bold"),
        text.plain(f" ({band}) {_where(outlook)}"),
        (text.plain(f"  {_source(memory, behind)}"), "$text-muted"),
    )  # fmt: skip


def _where(outlook: Outlook) -> str:
    if not outlook.gpus:
        return "of a GPU; this run is on the CPU"
    if not outlook.spread:
        return f"on GPU {outlook.gpus[0]}"
    each = f"on each of {len(outlook.gpus) + outlook.short} GPUs, {outlook.spread}"
    return f"{each}; {outlook.short} of them are not there" if outlook.short else each


def _source(memory: Figure, behind: str) -> str:
    said: list[str] = [memory.source]
    if memory.computed is not None:
        said.append("corrected by your runs")
    return ", ".join([*said, behind] if behind and memory.source == "estimate" else said)


def _each_gpu(outlook: Outlook, width: int) -> Content:
    """Return how far each GPU would be filled; without bars where there is no room for them."""
    cells = _SHORT_BAR if width >= _ROOMY else 0
    figure = outlook.memory if isinstance(outlook.memory, Figure) else None
    parts = [Content("free ")]
    for number, free in zip(outlook.gpus, outlook.frees, strict=True):
        fits = outlook.fit_of(free)
        drawn = ""
        if cells and free and figure is not None:
            share, high = figure.expected / free, figure.high / free
            drawn = f"{bar_string(share, cells, predicted=high)} "
        mark = sign(FITS[fits or "unknown"]).content()
        parts.append(Content.assemble(f"{number}: {drawn}", mark, f" {text.gibibytes(free)}"))
    return Content("  ").join(parts)


def _host(outlook: Outlook, width: int) -> Content:
    """Return what offload takes of the host's memory, of what is available there."""
    mark = sign(FITS["no" if outlook.host_is_short else "fits"]).content()
    if outlook.host_free is None:
        mark = sign(FITS["unknown"]).content()
    said = f"host {text.memory(outlook.host)} pinned of {text.memory(outlook.host_free)} available"
    return Content.assemble(mark, text.one_line(f" {said}", width - 2))


def _rest(outlook: Outlook, width: int) -> Content:
    time = outlook.time
    hours = NOT_AVAILABLE
    if isinstance(time, Seconds):
        hours = f"{text.duration(time.expected)}, roughly"
    steps = NOT_AVAILABLE if outlook.steps is None else f"{outlook.steps:,}"
    said = (
        f"steps {steps} · tokens {text.count(outlook.tokens)} · time {hours} · "
        f"disk {text.size(outlook.disk)}"
    )
    return Content(text.one_line(said, width))  # which leaves single spaces alone
