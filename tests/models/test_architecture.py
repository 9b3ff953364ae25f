"""Architectures are those that transformers makes: each parameter by its name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.counting import configuration, counted, on_meta, told
from tests.models.variants import VARIANTS, config_of, name_of
from tui_ft.models import architecture_of
from tui_ft.models.families.table import FAMILIES

NEEDED: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"num_experts_per_tok": 6},
    "ministral": {"head_dim": 128},
}
"""What transformers itself cannot make a model without."""
NO_SCORES = {"cohere", "cohere2", "ernie4_5", "granite", "granitemoe", "olmoe"}
"""Families of which transformers has no classification."""


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_configuration_without_values_is_transformers_own(model_type: str) -> None:
    config = {"model_type": model_type, **NEEDED.get(model_type, {})}
    assert told(architecture_of(config)) == counted(on_meta(config))


@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_what_a_configuration_sets_is_followed(variant: dict[str, Any]) -> None:
    config = config_of(variant)
    model = on_meta(config)
    found = architecture_of(config)
    assert told(found) == counted(model)
    assert found.parameters == model.num_parameters() == sum(found.by_part.values())


@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_a_classification_has_its_own_head(variant: dict[str, Any]) -> None:
    if variant["model_type"] in NO_SCORES:
        pytest.skip("transformers has none")
    config = config_of(variant)
    assert told(architecture_of(config, labels=3)) == counted(on_meta(config, labels=3))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_defaults_are_those_of_transformers_configurations(model_type: str) -> None:
    own = configuration({"model_type": model_type})
    differing = {
        key: (value, getattr(own, key, None))
        for key, value in FAMILIES[model_type].defaults.items()
        # A window that is not used is none in a configuration, whatever its default.
        if getattr(own, key, None) != value and key != "sliding_window"
    }
    assert differing == {}


@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_the_same_layers_have_a_window(variant: dict[str, Any]) -> None:
    config = config_of(variant)
    own = configuration(config).get_text_config()
    kinds = getattr(own, "layer_types", None)
    window = getattr(own, "sliding_window", None)
    if kinds is None:
        kinds = ["sliding_attention" if window else "full_attention"] * own.num_hidden_layers
    sliding = [n for n, kind in enumerate(kinds) if kind == "sliding_attention"]
    found = architecture_of(config)
    assert list(found.windowed_layers) == sliding
    assert found.window == (window if sliding else None)
