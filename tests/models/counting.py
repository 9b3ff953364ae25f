"""transformers' own counts, on `meta`."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)

from tui_ft.models.architecture import Architecture
from tui_ft.models.pieces import Linear, Norm, Weight

ENCODERS: Final = ("bert", "roberta", "distilbert", "xlm-roberta")


def configuration(values: dict[str, Any]) -> PretrainedConfig:
    """Return transformers' configuration, as it is made from a config.json."""
    kind = CONFIG_MAPPING[values["model_type"]]
    return kind.from_dict({key: value for key, value in values.items() if key != "model_type"})


def on_meta(values: dict[str, Any], labels: int | None = None) -> Any:
    """Return transformers' model, without memory."""
    config = configuration(values)
    if labels is not None:
        config.num_labels = labels
    kind = AutoModelForSequenceClassification if labels is not None else AutoModelForCausalLM
    if labels is None and values["model_type"] in ENCODERS:
        kind = AutoModelForMaskedLM
    with torch.device("meta"):
        return kind.from_config(config)


def counted(model: torch.nn.Module) -> dict[str, int]:
    """Return elements by the parameter's name, layers together; a tied weight counts once."""
    found: Counter[str] = Counter()
    names: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) not in names or "embed" in name:
            names[id(parameter)] = name
    for parameter in model.parameters():
        name = names[id(parameter)]
        found[re.sub(r"\.\d+\.", ".{}.", name, count=1)] += parameter.numel()
    return dict(found)


def told(architecture: Architecture) -> dict[str, int]:
    """Return the same of an architecture."""
    found: Counter[str] = Counter()
    for piece in architecture.modules:
        if isinstance(piece, Weight):
            found[piece.path] += piece.parameters * piece.count
            continue
        bias = 0
        if isinstance(piece, Linear | Norm) and piece.bias:
            bias = piece.out_features if isinstance(piece, Linear) else piece.size
            found[f"{piece.path}.bias"] += bias * piece.count
        if piece.parameters > bias:
            found[f"{piece.path}.weight"] += (piece.parameters - bias) * piece.count
    return dict(found)
