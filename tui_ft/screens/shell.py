"""What a screen may ask of the app around it, so that no screen has to know the app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from tui_ft.hardware import Snapshot
from tui_ft.runs.registry import RunSummary

if TYPE_CHECKING:
    from tui_ft.spec.draft import Draft


class Hardware(Protocol):
    """Where the app learns what the machine does; `tui_ft.hardware.Sampler` is one."""

    def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """End."""

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot at once."""

    def stale_for(self) -> float | None:
        """Return the seconds since the newest snapshot."""


class Shell(Protocol):
    """The app, as screens see it."""

    hardware: Hardware
    clock: Callable[[], float]

    def live_runs(self) -> list[RunSummary]:
        """Return the runs as they were read last."""

    def advise(self, model: str, data: str, columns: Mapping[str, str]) -> None:
        """Show advice for a model and data, read by those columns; what is not known is asked."""

    def configure(self, draft: Draft | None) -> None:
        """Show the run that is being written, or another draft in its place."""

    def open_run(self, run_id: str) -> None:
        """Show the monitor of a run."""

    def leave_run(self) -> None:
        """Go back from a monitor to Home."""
