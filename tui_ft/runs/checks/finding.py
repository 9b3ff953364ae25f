"""What is found before a run starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. A run with a `bad` one is not started."""

    severity: Literal["note", "warning", "bad"]
    text: str
    advice: str | None = None
