"""Weights & Biases. The key comes from `WANDB_API_KEY` or netrc, and is never written here."""

from __future__ import annotations

from typing import Any, Final

from tui_ft.tracking.tracker import About, Figures

_STEP: Final = "step"
_FAILED: Final = ("failed", "crashed")


class WandbTracker:
    """A run there has the id of the run here, so that a resumed one goes on in the same."""

    keep = None

    def __init__(self, about: About) -> None:
        import wandb

        settings = wandb.Settings(console="off", disable_git=True, save_code=False)
        self._run: Any = wandb.init(
            project=about.asked.project,
            entity=about.asked.entity,
            id=about.id,
            name=about.id,
            resume="allow",
            dir=str(about.folder),
            mode="offline" if about.asked.offline else None,
            config=dict(about.spec),
            settings=settings,
        )
        # A resumed run goes back to its checkpoint, and wandb's own steps never do.
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)

    def log(self, figures: Figures, step: int, seconds: float) -> None:
        """Send figures of a step."""
        self._run.log({**figures, _STEP: step})

    def close(self, state: str) -> None:
        """Send what is left."""
        self._run.summary["state"] = state
        self._run.finish(exit_code=1 if state in _FAILED else 0)
