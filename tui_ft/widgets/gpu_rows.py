"""GPUs and host as lines of fixed columns: what a person looks at first, in any width from 38 up.

Columns have fixed widths, so that numbers stand under each other and do not jump. When there is too
little room the least important column goes first, for all GPUs alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from tui_ft import text
from tui_ft.widgets.bars import bar, gauge_line
from tui_ft.widgets.signs import sign

_NOISE: Final = re.compile(
    r"NVIDIA|GeForce|Tesla|Quadro|AMD|Instinct|Generation|Graphics|GPU"
    r"|\d+ ?GB|HBM\w*|SXM\w*|PCIe\w*|NVL",
    re.IGNORECASE,
)
_NAME_WIDTH: Final = 9
_LONGEST_BAR: Final = 32
_SHORTEST_BAR: Final = 6
_LABEL_WIDTH: Final = 24
_VALUE_WIDTH: Final = 13


@dataclass(frozen=True, slots=True)
class GpuRow:
    """What is shown of one GPU. None is "not available", never zero.

    Attributes:
        index: as NVML counts.
        name: as the driver gives it.
        used: memory in use, bytes.
        total: memory there is, bytes.
        predicted: memory the run on it was predicted to need at its peak, bytes.
        busy: share of the last second in which a kernel ran, 0..1.
        power: watts.
        power_limit: watts.
        temperature: degrees Celsius.
        clock: of the multiprocessors, MHz.
        throttling: what slows it down, empty for nothing, None if that is not known.
        label: who uses it: a run's name, or `free`.
        error: why nothing could be read; shown in place of the figures.
    """

    index: int
    name: str
    used: float | None = None
    total: float | None = None
    predicted: float | None = None
    busy: float | None = None
    power: float | None = None
    power_limit: float | None = None
    temperature: float | None = None
    clock: float | None = None
    throttling: tuple[str, ...] | None = None
    label: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class HostRow:
    """What is shown of the machine: shares 0..1 and bytes, None for not available."""

    cpu: float | None = None
    memory_used: float | None = None
    memory_total: float | None = None
    disk_free: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths of the columns of compact lines, 0 for those there is no room for."""

    name: int
    bar: int
    power: int
    temperature: int
    label: int


def short_name(name: str) -> str:
    """Return a GPU's name without vendor, memory size and form factor: `H100`, `RTX 4090`."""
    words = _NOISE.sub(" ", text.plain(name).replace("-", " ")).split()
    return " ".join(words) or text.one_line(name, _NAME_WIDTH)


def compact_lines(
    rows: Sequence[GpuRow], width: int, *, ascii: bool | None = None
) -> list[Content]:
    """Return one line for each GPU, exactly ``width`` cells, all with the same columns."""
    columns = _columns(width)
    return [_compact_line(row, columns, width, ascii) for row in rows]


def detail_lines(row: GpuRow, width: int, *, ascii: bool | None = None) -> list[Content]:
    """Return memory, busy, power as gauges and a line with temperature, clock and throttling."""
    if row.error:
        return [_error(row.error, width, ascii)]
    memory = _of(text.gigabytes, row.used, row.total, "GB")
    watts = _of(_whole, row.power, row.power_limit, "W")
    gauges = [
        ("memory", memory, _share(row.used, row.total), _share(row.predicted, row.total)),
        ("busy", text.percent(row.busy), row.busy, None),
        ("power", watts, _share(row.power, row.power_limit), None),
    ]
    lines = [
        gauge_line(
            label,
            value,
            fraction,
            width,
            predicted=predicted,
            value_width=_VALUE_WIDTH,
            ascii=ascii,
        )
        for label, value, fraction, predicted in gauges
    ]
    if row.predicted is not None:
        lines.insert(1, Content(_fit(f"{'':9}predicted peak {text.size(row.predicted)}", width)))
    figures = f"{_unit(row.temperature, '°C')}   {_unit(row.clock, 'MHz')}"
    throttling = _throttling(row, ascii)
    if len(figures) + 3 + len(throttling) <= width:
        lines.append(_pad(Content.assemble(figures, "   ", throttling), width))
    else:
        lines += [Content(_fit(figures, width)), _pad(throttling, width)]
    return lines


def host_line(row: HostRow, width: int, *, ascii: bool | None = None) -> Content:
    """Return `host cpu 12 %   memory 41/128 GB   disk 1.2 TB free`, the last cut first."""
    if row.error:
        return _error(f"host: {row.error}", width, ascii)
    memory = _of(text.gigabytes, row.memory_used, row.memory_total, "GB")
    parts = [
        f"cpu {text.percent(row.cpu):>5}",
        f"memory {memory}",
        f"disk {text.size(row.disk_free)} free",
    ]
    head = " host " if width >= 60 else " "  # noqa: PLR2004 - the word goes before a figure does
    line = head + parts[0]
    for part in parts[1:]:
        if len(line) + 3 + len(part) <= width:
            line += f"   {part}"
    return Content(_fit(line, width))


def _columns(width: int) -> _Columns:
    """Share out ``width``: index, memory and busy always; name, temperature, power, label if."""
    room = width - len(" 0 ") - (_VALUE_WIDTH + 2) - len("  100 %")
    taken = {"name": 0, "temperature": 0, "power": 0, "label": 0}
    wanted = {"name": _NAME_WIDTH + 1, "temperature": 8, "power": 7, "label": 10}
    for column, cells in wanted.items():
        if room - cells < _SHORTEST_BAR:
            break
        taken[column] = cells
        room -= cells
    bar_width = min(_LONGEST_BAR, room)
    if taken["label"]:
        bar_width = min(bar_width, max(_SHORTEST_BAR, room * 2 // 3))
        taken["label"] += room - bar_width
    return _Columns(bar=bar_width, **taken)


def _compact_line(row: GpuRow, columns: _Columns, width: int, ascii: bool | None) -> Content:
    head = f"{row.index:>2} "
    if columns.name:
        head += set_cell_size(short_name(row.name)[:_NAME_WIDTH], columns.name)
    if row.error:
        return Content.assemble(head, _error(row.error, width - cell_len(head), ascii))
    memory = _of(text.gigabytes, row.used, row.total, "GB")
    drawn = bar(
        _share(row.used, row.total),
        columns.bar,
        predicted=_share(row.predicted, row.total),
        ascii=ascii,
    )
    tail = f"  {memory:>{_VALUE_WIDTH}}  {text.percent(row.busy):>5}"
    if columns.power:
        tail += f"  {_unit(row.power, 'W'):>5}"
    if columns.temperature:
        tail += f"  {_unit(row.temperature, '°C'):>6}"
    label = text.one_line(row.label, columns.label - 2) if columns.label else ""
    line = Content.assemble(head, drawn, tail, f"  {label}" if label else "")
    return _pad(line, width)


def _throttling(row: GpuRow, ascii: bool | None) -> Content:
    if row.throttling is None:
        return Content(f"throttling {text.NOT_AVAILABLE}")
    if not row.throttling:
        return Content("no throttling")
    reasons = ", ".join(text.plain(reason) for reason in row.throttling)
    return sign("warning").content(f"slowed by {reasons}", ascii=ascii)


def _error(message: str, width: int, ascii: bool | None) -> Content:
    return _pad(sign("bad").content(text.one_line(message, max(1, width - 2)), ascii=ascii), width)


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _whole(value: float | None) -> str:
    return text.NOT_AVAILABLE if value is None else f"{value:,.0f}"


def _unit(value: float | None, unit: str) -> str:
    return text.NOT_AVAILABLE if value is None else f"{value:,.0f} {unit}"


def _of(
    written: Callable[[float | None], str], part: float | None, whole: float | None, unit: str
) -> str:
    """Return `61.2/79.6 GB`, or as much of it as is known."""
    if part is None and whole is None:
        return text.NOT_AVAILABLE
    return (
        f"{written(part)} {unit}" if whole is None else f"{written(part)}/{written(whole)} {unit}"
    )


def _fit(line: str, width: int) -> str:
    return line[:width].ljust(width)


def _pad(line: Content, width: int) -> Content:
    cut = line.truncate(max(0, width), ellipsis=True)
    return cut.pad_right(max(0, width - cut.cell_length))
