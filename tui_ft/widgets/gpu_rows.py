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
from tui_ft.hardware.snapshot import Gpu, Host
from tui_ft.widgets.bars import bar, gauge_line
from tui_ft.widgets.signs import sign, use_ascii

_NOISE: Final = re.compile(
    r"NVIDIA|GeForce|Tesla|Quadro|AMD|Instinct|Generation|Graphics|GPU"
    r"|\d+ ?GB|HBM\w*|SXM\w*|PCIe\w*|NVL",
    re.IGNORECASE,
)
_NAME_WIDTH: Final = 9
_LONGEST_BAR: Final = 32
_SHORTEST_BAR: Final = 6
_VALUE_WIDTH: Final = 15
_IDLE_SHARE: Final = 0.02


@dataclass(frozen=True, slots=True)
class GpuRow:
    """A GPU and what is known about its use.

    Attributes:
        gpu: as it was read.
        label: who uses it (a run's name); empty: told from its processes.
        predicted_bytes: memory the run on it was predicted to need at its peak, None if unknown.
    """

    gpu: Gpu
    label: str = ""
    predicted_bytes: float | None = None


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


def usage(gpu: Gpu) -> str:
    """Return who uses ``gpu``: the users of its processes, `free`, or nothing that is known."""
    if gpu.processes:
        users = sorted({process.user or "someone" for process in gpu.processes})
        commands = sorted({process.command for process in gpu.processes if process.command})
        return " ".join([", ".join(users), *commands])
    share = _share(gpu.memory_used_bytes, gpu.memory_total_bytes)
    return "free" if share is not None and share < _IDLE_SHARE else ""


def compact_lines(
    rows: Sequence[GpuRow], width: int, *, ascii: bool | None = None
) -> list[Content]:
    """Return one line for each GPU, exactly ``width`` cells, all with the same columns."""
    columns = _columns(width)
    return [_compact_line(row, columns, width, ascii) for row in rows]


def detail_lines(row: GpuRow, width: int, *, ascii: bool | None = None) -> list[Content]:
    """Return memory, busy, power as gauges and a line with temperature, clock and throttling."""
    gpu = row.gpu
    if gpu.error:
        return [_error(gpu.error, width, ascii)]

    def gauge(
        label: str, value: str, share: float | None, predicted: float | None = None
    ) -> Content:
        return gauge_line(
            label, value, share, width, predicted=predicted, value_width=_VALUE_WIDTH, ascii=ascii
        )

    total = gpu.memory_total_bytes
    memory = _of(text.gibibytes, gpu.memory_used_bytes, total, "GiB")
    watts = _of(_whole, gpu.power_w, gpu.power_limit_w, "W")
    lines = [
        gauge(
            "memory",
            memory,
            _share(gpu.memory_used_bytes, total),
            _share(row.predicted_bytes, total),
        ),
        gauge("busy", text.percent(gpu.utilization), gpu.utilization),
        gauge("power", watts, _share(gpu.power_w, gpu.power_limit_w)),
    ]
    if row.predicted_bytes is not None:
        note = f"{'':9}predicted peak {text.memory(row.predicted_bytes)}"
        lines.insert(1, Content(_fit(note, width)))
    figures = f"{_unit(gpu.temperature_c, _degrees(ascii))}   {_unit(gpu.sm_clock_mhz, 'MHz')}"
    throttling = _throttling(gpu, ascii)
    if len(figures) + 3 + len(throttling) <= width:
        return [*lines, _pad(Content.assemble(figures, "   ", throttling), width)]
    return [*lines, Content(_fit(figures, width)), _pad(throttling, width)]


def host_line(host: Host, width: int) -> Content:
    """Return `host cpu 12 %   memory 41/128 GiB   disk 1.2 TB free`, the last cut first."""
    memory = _of(text.gibibytes, host.memory_used_bytes, host.memory_total_bytes, "GiB")
    parts = [
        f"cpu {text.percent(host.cpu_utilization):>5}",
        f"memory {memory}",
        f"disk {text.size(host.disk_free_bytes)} free",
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
    gpu = row.gpu
    head = f"{gpu.index:>2} "
    if columns.name:
        head += set_cell_size(short_name(gpu.name)[:_NAME_WIDTH], columns.name)
    if gpu.error:
        return Content.assemble(head, _error(gpu.error, width - cell_len(head), ascii))
    memory = _of(text.gibibytes, gpu.memory_used_bytes, gpu.memory_total_bytes, "GiB")
    drawn = bar(
        _share(gpu.memory_used_bytes, gpu.memory_total_bytes),
        columns.bar,
        predicted=_share(row.predicted_bytes, gpu.memory_total_bytes),
        ascii=ascii,
    )
    tail = f"  {memory:>{_VALUE_WIDTH}}  {text.percent(gpu.utilization):>5}"
    if columns.power:
        tail += f"  {_unit(gpu.power_w, 'W'):>5}"
    if columns.temperature:
        tail += f"  {_unit(gpu.temperature_c, _degrees(ascii)):>6}"
    label = text.one_line(row.label or usage(gpu), columns.label - 2) if columns.label else ""
    return _pad(Content.assemble(head, drawn, tail, f"  {label}" if label else ""), width)


def _throttling(gpu: Gpu, ascii: bool | None) -> Content:
    if gpu.throttle_reasons is None:
        return Content(f"throttling {text.NOT_AVAILABLE}")
    if not gpu.throttle_reasons:
        return Content("no throttling")
    reasons = ", ".join(text.plain(reason) for reason in gpu.throttle_reasons)
    return sign("warning").content(f"slowed by {reasons}", ascii=ascii)


def _degrees(ascii: bool | None) -> str:
    return "C" if use_ascii(ascii) else "°C"


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
    """Return `61.2/79.6 GiB`, or as much of it as is known."""
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
