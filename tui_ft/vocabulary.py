"""Names that mean the same in a run's YAML and in the rooms that act on it."""

from __future__ import annotations

from typing import Literal

FormatName = Literal[
    "messages",
    "prompt_completion",
    "alpaca",
    "text",
    "preference",
    "kto",
    "prompt_only",
    "text_label",
]
"""How a row of a data set is laid out."""

LossOn = Literal["assistant", "last_assistant", "all"]
"""Which tokens carry loss: every answer, only the last one, or everything."""
