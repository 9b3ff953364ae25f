"""Models on the Hub that fit some words, with what one chooses by."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tui_ft.hub import client
from tui_ft.hub.datasets_search import gated, licence, number, shown, tags_of
from tui_ft.hub.kept_answers import ask_or_remember

_MOST: Final = 100
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
class HubModel:
    """A model as the Hub lists it. Its texts are harmless to show.

    Attributes:
        downloads: in the last 30 days.
        gated: False; `auto` or `manual` where access has to be asked for.
        licence: the Hub's short name, such as `apache-2.0`; several are joined by commas.
        parameters: in its safetensors files; None when it has none, and ftui loads no others.
        size_bytes: of these files.
        chat_template: whether its tokenizer has one; None where the Hub does not say.
        model_type: transformers' word for its architecture.
        task: what it is for, as its page says it: `text-generation`, `fill-mask`, …
        last_modified: ISO 8601, in UTC.
    """

    id: str
    downloads: int | None = None
    likes: int | None = None
    gated: bool | str = False
    private: bool = False
    licence: str | None = None
    parameters: int | None = None
    size_bytes: int | None = None
    chat_template: bool | None = None
    model_type: str | None = None
    task: str | None = None
    last_modified: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelsAnswer:
    """What was found, and why it is not news.

    Attributes:
        found: most downloaded first.
        problem: why the Hub could not be asked; with an older answer, it is in `found`.
        age_s: how old the answer is, in seconds.
    """

    found: tuple[HubModel, ...] = ()
    problem: str | None = None
    age_s: float = 0.0


def search_models(
    query: str,
    limit: int = 20,
    *,
    environ: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> ModelsAnswer:
    """Return the models for transformers whose id holds ``query``, most downloaded first.

    Answers are kept for ten minutes, and longer for when the Hub cannot be asked. Never raises, and
    takes 5 seconds at most.

    Args:
        query: words of an id.
        limit: how many at most, up to 100.
        environ: honours HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and where else tokens are kept.
        transport: how the Hub is reached; httpx's own when None.
    """
    parameters = {
        "search": query.strip().encode(errors="replace").decode(),
        "filter": "transformers",
        "limit": str(max(1, min(limit, _MOST))),
        "sort": "downloads",
        "expand": _ASKED_FOR,
    }
    answer = ask_or_remember("/api/models", parameters, environ, transport)
    if answer.body is None:
        return ModelsAnswer(problem=answer.problem)
    try:
        entries = json.loads(answer.body)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return ModelsAnswer(problem=client.nonsense(environ))
    read = (_model(entry) for entry in entries[:_MOST])
    found = tuple(model for model in read if model is not None)
    return ModelsAnswer(found, answer.problem, answer.age_s)


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
        return _model(json.loads(answer.body or b""))
    except (ValueError, RecursionError):
        return None


def _model(entry: Any) -> HubModel | None:  # noqa: ANN401 - whatever came
    """Return an entry of the answer; None where it has no usable id."""
    name = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not client.ID.fullmatch(name):
        return None
    tags = tags_of(entry)
    parameters, size = _weights(entry.get("safetensors"))
    config = entry.get("config")
    config = config if isinstance(config, dict) else {}
    return HubModel(
        id=name,
        downloads=number(entry.get("downloads")),
        likes=number(entry.get("likes")),
        gated=gated(entry.get("gated")),
        private=entry.get("private") is True,
        licence=licence(tags),
        parameters=parameters,
        size_bytes=size,
        chat_template=_has_chat_template(config, tags),
        model_type=shown(config.get("model_type"), _LONGEST) or None,
        task=shown(entry.get("pipeline_tag"), _LONGEST) or None,
        last_modified=shown(entry.get("lastModified"), 40) or None,
        tags=tags,
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
