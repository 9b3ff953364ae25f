"""From a config.json to an architecture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from tui_ft import text
from tui_ft.models.architecture import Architecture
from tui_ft.models.families.table import FAMILIES
from tui_ft.models.values import ArchitectureError, Values

_LLAMA_KEYS: Final = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)


def architecture_of(config: Mapping[str, Any], labels: int | None = None) -> Architecture:
    """Return the architecture of the model with this config.json.

    Missing keys have transformers' defaults for the `model_type`. An unknown `model_type` whose
    keys are Llama's is counted as a Llama, and marked as guessed.

    Args:
        config: the file's values.
        labels: count the head of a classification with so many labels, in place of the language
            model's; 1 for a reward model.

    Raises:
        ArchitectureError: it is no language model's, or not known how to count.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ArchitectureError("the configuration has no `model_type`: it is no model's")
    family = FAMILIES.get(model_type)
    if family is not None:
        return family.build(Values(config, family.defaults, family.aliases), family, labels)
    if any(key not in config for key in _LLAMA_KEYS):
        raise ArchitectureError(
            f"models of the type {text.one_line(model_type, 40)} are not known here, and their "
            "configuration does not look like a Llama's: their parameters cannot be counted"
        )
    guess = FAMILIES["llama"]
    found = guess.build(Values(config, {}, {}), guess, labels)
    return dataclasses.replace(found, family=text.one_line(model_type, 40), guessed=True)
