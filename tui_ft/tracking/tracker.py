"""What a tracker is to ftui, and what it is told of a run when it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tui_ft.spec.tracking import TrackingSpec

Figures = Mapping[str, float]
"""By names such as `train/loss`, `eval/loss`, `system/gpu0.utilization`."""


@dataclass(frozen=True, slots=True)
class About:
    """A run as a tracker is told of it.

    Attributes:
        id: of the run: the same in every attempt.
        spec: what was asked, in plain values.
        folder: for what the tracker keeps here.
        asked: how it is tracked.
        kept: what the tracker handed over to be kept in an earlier attempt; None in the first.
    """

    id: str
    spec: Mapping[str, Any]
    folder: Path
    asked: TrackingSpec
    kept: str | None = None

    def parameters(self) -> dict[str, str | int | float | bool]:
        """Return the spec with dotted names and plain values: `training.learning_rate`."""
        return dict(_flat("", self.spec))


class Tracker(Protocol):
    """A tracker that has opened a run. Whatever it raises ends it, and nothing else."""

    def log(self, figures: Figures, step: int, seconds: float) -> None:
        """Take figures of a step, measured at ``seconds`` (Unix time)."""

    def close(self, state: str) -> None:
        """Say how the run ended, and send what is left."""

    @property
    def keep(self) -> str | None:
        """What to be told of in the next attempt, such as the number of the run there."""


def _flat(at: str, value: object) -> list[tuple[str, str | int | float | bool]]:
    if isinstance(value, Mapping):
        inner = [_flat(f"{at}.{name}" if at else str(name), one) for name, one in value.items()]
        return [pair for pairs in inner for pair in pairs]
    if isinstance(value, str | int | float | bool):
        return [(at, value)]
    return [] if value is None else [(at, str(value))]
