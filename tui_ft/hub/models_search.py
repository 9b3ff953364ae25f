"""Models on the Hub that fit some words, with what one chooses by."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tui_ft.hub import client
from tui_ft.hub.kept_answers import ask_or_remember
from tui_ft.hub.listing import (
    HubAnswer,
    HubEntry,
    common_fields,
    name_of,
    number,
    search,
    shown,
    tags_of,
)

_LONGEST: Final = 60
_ASKED_FOR: Final = (
    *("config", "downloads", "gated", "lastModified", "likes", "pipeline_tag", "private"),
    *("safetensors", "tags"),
)
_BITS: Final = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
    "F4": 4,
}
"""Of safetensors' types, as its metadata names them."""


@dataclass(frozen=True, slots=True)
class HubModel(HubEntry):
    """A model as the Hub lists it.

    Attributes:
        parameters: in its safetensors files; None when it has none, and ftui loads no others.
        size_bytes: of these files.
        chat_template: whether its tokenizer has one; None where the Hub does not say.
        model_type: transformers' word for its architecture.
        task: what it is for, as its page says it: `text-generation`, `fill-mask`, …
    """

    parameters: int | None = None
    size_bytes: int | None = None
    chat_template: bool | None = None
    model_type: str | None = None
    task: str | None = None


def search_models(
    query: str,
    limit: int = 20,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> HubAnswer[HubModel]:
    """Return the models for transformers whose id holds ``query``; see `listing.search`."""
    asked_for = {"filter": "transformers", "expand": _ASKED_FOR}
    return search("/api/models", query, limit, asked_for, _model, environ, transport)


def hub_model(
    name: str,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> HubModel | None:
    """Return what the Hub's list says of the model with this id; None when it says nothing.

    Never raises, and takes 5 seconds at most.
    """
    if not client.ID.fullmatch(name):
        return None
    answer = ask_or_remember(f"/api/models/{name}", {"expand": _ASKED_FOR}, environ, transport)
    try:
        entry = json.loads(answer.body or b"")
    except (ValueError, RecursionError):
        return None
    return _model(entry) if isinstance(entry, dict) else None


def _model(entry: Mapping[str, Any]) -> HubModel | None:
    """Return an entry of the answer; None where it has no usable id."""
    name = name_of(entry)
    if name is None:
        return None
    parameters, size = _weights(entry.get("safetensors"))
    config = entry.get("config")
    config = config if isinstance(config, dict) else {}
    return HubModel(
        id=name,
        parameters=parameters,
        size_bytes=size,
        chat_template=_has_chat_template(config, tags_of(entry)),
        model_type=shown(config.get("model_type"), _LONGEST) or None,
        task=shown(entry.get("pipeline_tag"), _LONGEST) or None,
        **common_fields(entry),
    )


def _weights(metadata: object) -> tuple[int | None, int | None]:
    """Return parameters and bytes of safetensors files; None where their metadata says neither.

    Of packed types the Hub counts numbers, not parameters: so the total is taken as it says it.
    """
    if not isinstance(metadata, dict):
        return None, None
    by_type = metadata.get("parameters")
    counts = by_type if isinstance(by_type, dict) else {}
    sizes = [
        count * _BITS[kind] // 8 if (count := number(value)) is not None and kind in _BITS else None
        for kind, value in counts.items()
    ]
    known = [size for size in sizes if size is not None]
    total = number(metadata.get("total"))
    return total, sum(known) if known and len(known) == len(sizes) else None


def _has_chat_template(config: Mapping[str, Any], tags: tuple[str, ...]) -> bool | None:
    tokenizer = config.get("tokenizer_config")
    if config.get("chat_template_jinja") or "conversational" in tags:
        return True
    if not isinstance(tokenizer, dict):
        return None
    return bool(tokenizer.get("chat_template"))
