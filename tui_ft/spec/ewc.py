"""Elastic weight consolidation: what holds a model near the weights that an old task needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tui_ft.spec.group import Group, about
from tui_ft.vocabulary import FormatName


class EwcPenalty(Group):
    """EWC (arXiv:1612.00796): weights that old data depend on are held near their old values."""

    ewc_lambda: Annotated[PositiveFloat, Field(json_schema_extra=about(basic=True))] = 10.0
    """How strongly: tokens of the old task that one of the new weighs against; 1 to 1,000."""
    rows: Annotated[PositiveInt, Field(json_schema_extra=about("rows"))] = 128
    """Rows of the old task by which the weights' importance is estimated before training."""
    train: str | None = None
    """A file of the old task, such as general text or chats; `data.mix` when not given."""
    format: Literal["auto", FormatName] = "auto"
    """How its rows are read."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Which of its columns plays which part."""
