"""Gemma 3 from 4B on: the text model beside a vision tower (SigLIP, arXiv:2303.15343)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from tui_ft.models.architecture import Architecture
from tui_ft.models.families import windows
from tui_ft.models.families.family import Family
from tui_ft.models.families.llama_like import llama_like
from tui_ft.models.families.llamas import GEMMA3, GEMMA3_DEFAULTS
from tui_ft.models.pieces import Embedding, Linear, Norm, Piece, Weight
from tui_ft.models.values import Values

_VISION_DEFAULTS: Final = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "vision_use_head": True,
}
_TOWER: Final = "model.vision_tower."
_TEXT: Final = Family(
    "Gemma 3",
    llama_like(dataclasses.replace(GEMMA3, prefix="model.language_model.")),
    GEMMA3_DEFAULTS,
    windowed=windows.all_but_each(6),
)


def gemma3(values: Values, family: Family, labels: int | None) -> Architecture:
    """Lay out text model and vision tower; sizes are the text model's."""
    text_config: dict[str, Any] = {"model_type": values.model_type, **_part(values, "text_config")}
    text_config["tie_word_embeddings"] = values.flag("tie_word_embeddings")
    text_model = _TEXT.build(Values(text_config, _TEXT.defaults, {}), _TEXT, labels)
    vision = Values(
        {"model_type": "siglip", **_part(values, "vision_config")}, _VISION_DEFAULTS, {}
    )
    width, hidden = vision.size("hidden_size"), text_model.hidden_size
    joint: list[Piece] = [
        Weight("model.multi_modal_projector.mm_input_projection_weight", (width, hidden), "vision"),
        Norm("model.multi_modal_projector.mm_soft_emb_norm", width, part="vision"),
    ]
    return dataclasses.replace(
        text_model,
        model_type="gemma3",
        family=family.name,
        modules=(*text_model.modules, *_tower(vision, width), *joint),
    )


def _part(values: Values, name: str) -> Mapping[str, Any]:
    """Return a configuration inside the configuration, without its own type."""
    found = values.raw(name)
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if key != "model_type"}


def _tower(vision: Values, width: int) -> list[Piece]:
    inner, layers = vision.size("intermediate_size"), range(vision.size("num_hidden_layers"))
    patch, channels = vision.size("patch_size"), vision.size("num_channels")
    patches = (vision.size("image_size") // patch) ** 2
    tables, block = f"{_TOWER}embeddings.", f"{_TOWER}encoder.layers.{{}}."
    attention = ("k_proj", "v_proj", "q_proj", "out_proj")
    pieces: list[Piece] = [
        Weight(f"{tables}patch_embedding.weight", (width, channels, patch, patch), "vision"),
        Weight(f"{tables}patch_embedding.bias", (width,), "vision"),
        Embedding(f"{tables}position_embedding", patches, width, part="vision"),
        *(
            Linear(f"{block}self_attn.{name}", width, width, True, "vision", layers)
            for name in attention
        ),
        Linear(f"{block}mlp.fc1", width, inner, True, "vision", layers),
        Linear(f"{block}mlp.fc2", inner, width, True, "vision", layers),
        Norm(f"{block}layer_norm1", width, True, layers=layers, part="vision"),
        Norm(f"{block}layer_norm2", width, True, layers=layers, part="vision"),
        Norm(f"{_TOWER}post_layernorm", width, True, part="vision"),
    ]
    return [*pieces, *_pooling(width, inner)] if vision.flag("vision_use_head") else pieces


def _pooling(width: int, inner: int) -> list[Piece]:
    """Return SigLIP's own head, which Gemma's towers do without."""
    path = f"{_TOWER}head."
    return [
        Weight(f"{path}probe", (1, 1, width), "vision"),
        Weight(f"{path}attention.in_proj_weight", (3 * width, width), "vision"),
        Weight(f"{path}attention.in_proj_bias", (3 * width,), "vision"),
        Linear(f"{path}attention.out_proj", width, width, True, "vision"),
        Norm(f"{path}layernorm", width, True, part="vision"),
        Linear(f"{path}mlp.fc1", width, inner, True, "vision"),
        Linear(f"{path}mlp.fc2", inner, width, True, "vision"),
    ]


GEMMA3_VISION: Final[dict[str, Family]] = {
    "gemma3": Family("Gemma 3", gemma3, {"tie_word_embeddings": True}),
}
