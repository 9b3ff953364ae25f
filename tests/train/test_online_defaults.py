"""The fields of GRPO and RLOO are trl's own, with trl's defaults."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from trl import GRPOConfig, RLOOConfig

from tui_ft.spec.online import GroupFields, GrpoObjective, RlooObjective

OURS = {"kind", "rewards"}


@pytest.mark.parametrize(
    ("objective", "config"), [(GrpoObjective, GRPOConfig), (RlooObjective, RLOOConfig)]
)
def test_names_and_defaults(objective: type[GroupFields], config: Any) -> None:
    theirs = {field.name: field.default for field in dataclasses.fields(config)}
    ours = {
        name: field.default for name, field in objective.model_fields.items() if name not in OURS
    }
    assert set(ours) <= set(theirs)
    assert ours == {name: theirs[name] for name in ours}
