"""Where else a run's figures go: trackers that people know, which can never stop or slow a run."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from tui_ft.spec.group import Group

TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]
PACKAGES: Final[dict[TrackerName, str]] = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}
"""The module that each tracker imports; its extra is called like it."""


class TrackingSpec(Group):
    """Trackers, each fed by a process of its own that reads what the run writes down."""

    report_to: list[TrackerName] = Field(default_factory=list)
    """Which: tensorboard, wandb, mlflow, trackio. Keys come from the environment or netrc."""
    project: Annotated[str, Field(min_length=1)] = "ftui"
    """The project (wandb, trackio) or experiment (mlflow) that the run appears in."""
    entity: str | None = None
    """Of wandb: the team or user it appears under."""
    offline: bool = False
    """Of wandb: keep everything here, to be sent with `wandb sync` some day."""
    tracking_uri: str | None = None
    """Of mlflow: server, database or folder; `MLFLOW_TRACKING_URI`, or a file of ftui's, if not."""
    logging_dir: str | None = None
    """Of tensorboard: the folder that holds a folder for each run; the run's own if not given."""

    @field_validator("report_to")
    @classmethod
    def _none_twice(cls, names: list[TrackerName]) -> list[TrackerName]:
        if len(set(names)) < len(names):
            raise ValueError(f"a tracker is named twice: {', '.join(names)}")
        return names

    @field_validator("tracking_uri")
    @classmethod
    def _no_password(cls, uri: str | None) -> str | None:
        if uri is not None and urlsplit(uri).password:
            raise ValueError(
                "holds a password, which would be written into the run's folder: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return uri
