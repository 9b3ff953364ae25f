"""Figures side by side, broken between them and never within one."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content


def flow(parts: Sequence[Content], width: int) -> Content:
    """Return ``parts`` side by side, on as many lines of ``width`` cells as they take."""
    lines: list[Content] = []
    for part in parts:
        joined = Content("   ").join([lines[-1], part]) if lines else part
        if not lines or joined.cell_length > width:
            lines.append(part)
        else:
            lines[-1] = joined
    return Content("\n").join(lines)
