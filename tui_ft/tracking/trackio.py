"""trackio: a local dashboard with wandb's interface."""

from __future__ import annotations

import os
from typing import Any

from tui_ft import paths
from tui_ft.tracking.tracker import About, Figures


class TrackioTracker:
    """A run there has the name of the run here."""

    keep = None

    def __init__(self, about: About) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(paths.home() / "trackio"))
        import trackio

        self._run: Any = trackio.init(
            project=about.asked.project,
            name=about.id,
            resume="allow",
            config=dict(about.spec),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, figures: Figures, step: int, seconds: float) -> None:
        """Write figures of a step."""
        self._run.log(dict(figures), step=step)

    def close(self, state: str) -> None:
        """Send what is left."""
        self._run.finish()
