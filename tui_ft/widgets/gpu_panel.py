"""The machine in a few lines: GPUs and host, compact or in detail, repainted where it changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from textual.content import Content
from textual.geometry import Region, Size
from textual.widget import Widget

from tui_ft import text
from tui_ft.hardware.snapshot import Gpu, Snapshot
from tui_ft.widgets.gpu_rows import GpuRow, compact_lines, detail_lines, host_line, short_name
from tui_ft.widgets.signs import sign

_STALE_AFTER: Final = 10.0
_NARROWEST: Final = 20


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the panel was last told."""

    snapshot: Snapshot | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    predicted: Mapping[int, float] = field(default_factory=dict)
    only: frozenset[int] | None = None
    stale_for: float | None = None


class HardwarePanel(Widget):
    """GPUs and host from snapshots.

    Args:
        detailed: several lines for each GPU instead of one.
        ascii: draw with ASCII only; None looks at the environment.
    """

    DEFAULT_CSS = """
    HardwarePanel { height: auto; }
    """

    def __init__(
        self,
        *,
        detailed: bool = False,
        ascii: bool | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._detailed = detailed
        self._ascii = ascii
        self._shown = _Shown()
        self._lines: list[Content] = []

    def update(
        self,
        snapshot: Snapshot | None,
        *,
        labels: Mapping[int, str] | None = None,
        predicted: Mapping[int, float] | None = None,
        only: Collection[int] | None = None,
        stale_for: float | None = None,
    ) -> bool:
        """Show ``snapshot``; return whether any line changed.

        Args:
            snapshot: None before the first one.
            labels: who uses a GPU, by its index; otherwise told from its processes.
            predicted: bytes a run on it was predicted to need at its peak, by its index.
            only: indices of the GPUs to show, None for all.
            stale_for: seconds since ``snapshot`` was taken; said when it is long.
        """
        self._shown = _Shown(
            snapshot,
            labels or {},
            predicted or {},
            None if only is None else frozenset(only),
            stale_for,
        )
        width = self.content_size.width
        before, self._lines = self._lines, self._build(width)
        if len(before) != len(self._lines):
            self.refresh(layout=True)
            return True
        changed = [
            y
            for y, (old, new) in enumerate(zip(before, self._lines, strict=True))
            if not old.is_same(new)
        ]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))
        return bool(changed)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Take all the width there is."""
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines at ``width``."""
        return len(self._build(width))

    def render(self) -> Content:
        """Return all lines, made for the width there is now."""
        self._lines = self._build(self.content_size.width)
        return Content("\n").join(self._lines)

    def _build(self, width: int) -> list[Content]:
        """Return the lines; a panel that has not been laid out yet has a nominal width."""
        width = max(_NARROWEST, width)
        snapshot = self._shown.snapshot
        if snapshot is None:
            return [Content(text.one_line("waits for the first reading of the hardware", width))]
        rows = [self._row(gpu) for gpu in snapshot.gpus if self._is_shown(gpu)]
        lines = self._gpu_lines(rows, width)
        if not rows and snapshot.gpu_status:
            message = text.one_line(snapshot.gpu_status, width - 3)
            lines.append(Content.assemble(" ", sign("note").content(message, ascii=self._ascii)))
        lines.append(host_line(snapshot.host, width))
        stale = self._shown.stale_for
        if stale is not None and stale > _STALE_AFTER:
            message = text.one_line(f"no new reading for {text.duration(stale)}", width - 3)
            lines.append(Content.assemble(" ", sign("warning").content(message, ascii=self._ascii)))
        return lines

    def _gpu_lines(self, rows: list[GpuRow], width: int) -> list[Content]:
        if not self._detailed:
            return compact_lines(rows, width, ascii=self._ascii)
        lines: list[Content] = []
        for row in rows:
            lines.append(Content.styled(_heading(row.gpu, width), "bold"))
            lines += detail_lines(row, width, ascii=self._ascii)
        return lines

    def _row(self, gpu: Gpu) -> GpuRow:
        shown = self._shown
        return GpuRow(gpu, shown.labels.get(gpu.index, ""), shown.predicted.get(gpu.index))

    def _is_shown(self, gpu: Gpu) -> bool:
        return self._shown.only is None or gpu.index in self._shown.only


def _heading(gpu: Gpu, width: int) -> str:
    total = gpu.memory_total_bytes
    memory = "" if total is None else f" {total / (1 << 30):.0f} GiB"
    return text.one_line(f"GPU {gpu.index}: {short_name(gpu.name)}{memory}", width)
