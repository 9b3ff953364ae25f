"""MLflow: a server, a database or a folder. Its own environment variables hold the credentials."""

from __future__ import annotations

import os
from typing import Any, Final

from tui_ft import paths
from tui_ft.tracking.tracker import About, Figures

_STATES: Final = {"finished": "FINISHED", "stopped": "KILLED"}
_LONGEST: Final = 500
_AT_ONCE: Final = 100


class MlflowTracker:
    """Through MLflow's client, which knows no global state."""

    def __init__(self, about: About) -> None:
        # Whoever names a folder wants one, though MLflow would rather have a database.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag

        self._metric: Any = Metric
        asked = about.asked.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._client: Any = MlflowClient(asked or f"sqlite:///{paths.home() / 'mlflow.db'}")
        self._id = about.kept or self._begin(about)
        parameters = [Param(n, str(v)[:_LONGEST]) for n, v in about.parameters().items()]
        for start in range(0, len(parameters), _AT_ONCE):
            self._client.log_batch(self._id, params=parameters[start : start + _AT_ONCE])
        self._client.log_batch(self._id, tags=[RunTag("ftui.run", about.id)])

    @property
    def keep(self) -> str | None:
        """The run's number there."""
        return self._id

    def log(self, figures: Figures, step: int, seconds: float) -> None:
        """Send figures of a step."""
        moment = int(seconds * 1000)
        metrics = [self._metric(name, value, moment, step) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, state: str) -> None:
        """Say how it ended."""
        self._client.set_terminated(self._id, _STATES.get(state, "FAILED"))

    def _begin(self, about: About) -> str:
        name = about.asked.project
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        return str(self._client.create_run(number, run_name=about.id).info.run_id)
