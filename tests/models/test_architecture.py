"""Architectures are those that transformers makes: each parameter by its name."""

from __future__ import annotations

import pytest

from tests.models.counting import counted, on_meta, told
from tui_ft.models import architecture_of
from tui_ft.models.families.table import FAMILIES


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_configuration_without_values_is_transformers_own(model_type: str) -> None:
    assert told(architecture_of({"model_type": model_type})) == counted(
        on_meta({"model_type": model_type})
    )
