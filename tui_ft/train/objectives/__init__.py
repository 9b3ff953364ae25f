"""What a run optimises: one module for each objective, and the table of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tui_ft.train.objectives.common import Objective

MODULES: Final = {
    "sft": "sft",
    "pretraining": "pretraining",
    "dpo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "cpo": "cpo",
    "reward": "reward",
    "classification": "classification",
    "grpo": "grpo",
    "rloo": "rloo",
    "ppo": "ppo",
}
"""The kind of an objective in a RunSpec -> the module here that holds its `OBJECTIVE`."""


def objective_of(kind: str) -> Objective:
    """Return the objective of that kind. Only its own trainer is imported: each takes seconds."""
    module = importlib.import_module(f"{__name__}.{MODULES[kind]}")
    objective: Objective = module.OBJECTIVE
    return objective
