"""The first line of every screen: where one is, its GPUs, the live runs."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from tui_ft import text
from tui_ft.hardware import Snapshot
from tui_ft.runs.registry import RunSummary
from tui_ft.widgets.gpu_rows import short_name
from tui_ft.widgets.signs import sign


class TopLine(Static):
    """One line: `ftui   gpu01   2 x H100 80 GB      ▶ 1 live  ◷ 1`."""

    DEFAULT_CSS = """
    TopLine { height: 1; dock: top; background: $panel; padding: 0 1; }
    """

    def show(self, snapshot: Snapshot | None, runs: Sequence[RunSummary]) -> None:
        """Show the machine and how many runs live and wait."""
        waiting = sum(run.state == "queued" for run in runs)
        live = sum(run.is_live for run in runs) - waiting
        parts = [Content.styled("ftui", "bold $accent")]
        if snapshot is not None:
            parts.append(Content(text.plain(snapshot.host.hostname)))
            parts.append(Content(gpus_in_words(snapshot)))
        if live:
            parts.append(sign("running").content(f"{live} live"))
        if waiting:
            parts.append(sign("waiting").content(f"{waiting} waiting"))
        line = Content("   ").join(parts)
        if line != self.content:
            self.update(line)


def gpus_in_words(snapshot: Snapshot) -> str:
    """Return the GPUs by kind: `2 x H100 80 GiB`, or that there are none."""
    if not snapshot.gpus:
        return "no GPU"
    kinds: dict[str, int] = {}
    for gpu in snapshot.gpus:
        memory = gpu.memory_total_bytes
        size = f" {memory / (1 << 30):.0f} GiB" if memory else ""
        name = f"{short_name(gpu.name)}{size}"
        kinds[name] = kinds.get(name, 0) + 1
    return ", ".join(f"{count} x {name}" for name, count in kinds.items())
