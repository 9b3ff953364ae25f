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
    *("hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "vocab_size"),
)
_NOT_LLAMAS: Final = (
    *("num_experts", "num_local_experts", "n_routed_experts", "kv_lora_rank", "text_config"),
    *(
        "state_size",
        "mamba_d_state",
        "mamba_n_heads",
        "linear_num_value_heads",
        "linear_attn_config",
    ),
)
"""Keys of what a Llama has not: experts, latent attention, states."""


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
    shown = text.one_line(model_type, 40)
    if config.get("is_encoder_decoder"):
        raise ArchitectureError(
            f"{shown} reads with an encoder and writes with a decoder: ftui fine-tunes models of "
            "one part only"
        )
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        raise ArchitectureError(_of_the_text_part(shown, inner))
    if not _looks_like_a_llama(config):
        raise ArchitectureError(
            f"models of the type {shown} are not known here, and their configuration is not like a "
            "Llama's: their parameters cannot be counted"
        )
    guess = FAMILIES["llama"]
    found = guess.build(Values(config, {}, {}), guess, labels)
    return dataclasses.replace(found, family=shown, guessed=True)


def _looks_like_a_llama(config: Mapping[str, Any]) -> bool:
    kinds = config.get("layer_types") or ()
    usual = {"full_attention", "sliding_attention"}
    return (
        all(key in config for key in _LLAMA_KEYS)
        and not any(config.get(key) for key in _NOT_LLAMAS)
        and isinstance(kinds, list | tuple)
        and all(kind in usual for kind in kinds)
    )


def _of_the_text_part(model_type: str, inner: Mapping[str, Any]) -> str:
    """Return what can be said of a model that sees or hears, and is not known as a whole."""
    said = f"{model_type} is a model of text and something else, which cannot be counted here"
    try:
        found = architecture_of(inner)
    except ArchitectureError:
        return said
    return f"{said}; its text part, {found.family}, has {found.parameters:,} parameters"
