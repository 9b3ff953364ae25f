"""`ftui model`: what a model is, before anything of it is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tui_ft import text
from tui_ft.commands.output import fail, for_people, json_option, say, say_json, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tui_ft.memory.model_facts import ModelFacts
    from tui_ft.models import Architecture

_RANK: Final = 16
_FOUND_IN: Final = {
    "folder": "in its folder",
    "cache": "in the Hugging Face cache",
    "hub": "on the Hub",
    "catalogue": "in ftui's catalogue",
}
_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
_TELLING: Final = (
    *("model_type", "architectures", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("vocab_size", "max_position_embeddings"),
)
"""What is shown of a configuration that cannot be counted."""


@click.command()
@click.argument("model")
@click.option("--revision", help="Branch, tag or commit on the Hub.")
@json_option
@for_people
def model(model: str, *, revision: str | None, as_json: bool) -> None:
    """Say what MODEL is: parameters, context, attention, what adapters sit on.

    MODEL is a folder with a config.json, or a model's id on the Hub. Well-known models are known
    without the Hub.
    """
    from tui_ft.memory.model_facts import model_facts
    from tui_ft.models import ArchitectureError

    facts = model_facts(model, revision)
    if facts.config is None:
        fail(facts.problem or f"{model} has no configuration")
    if facts.note is not None:
        warn(facts.note)
    try:
        found = facts.architecture()
    except ArchitectureError as error:
        _say_what_is_left(facts.config or {}, as_json=as_json)
        fail(str(error))
        return
    terms = _terms(model, facts)
    if as_json:
        say_json(_as_json(model, facts, found) | terms)
    else:
        _say(model, facts, found, terms)


def _terms(name: str, facts: ModelFacts) -> dict[str, Any]:
    """Return licence, access and chat template, of the catalogue or of the model's page."""
    from tui_ft.hub.models_search import hub_model

    entry = facts.entry
    if entry is not None:
        return {"licence": entry.licence, "gated": entry.gated, "chat_template": entry.chat}
    page = hub_model(name) if facts.where == "hub" else None
    if page is None:
        return dict.fromkeys(("licence", "gated", "chat_template"))
    return {"licence": page.licence, "gated": page.gated, "chat_template": page.chat_template}


def _say_what_is_left(config: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what stands in a configuration that cannot be counted."""
    known = {key: config[key] for key in _TELLING if config.get(key) is not None}
    if as_json:
        say_json({"config": known, "parameters": None})
        return
    for key, value in known.items():
        say(f"{key}: {text.one_line(str(value), 80)}")


def _say(name: str, facts: ModelFacts, found: Architecture, terms: Mapping[str, Any]) -> None:
    guessed = ", which is not known here and is counted as a Llama" if found.guessed else ""
    where = _FOUND_IN[facts.where or "folder"]
    say(f"{text.one_line(name, 80)}: {found.family}{guessed} ({found.kind}), found {where}")
    for label, value in (
        ("parameters", _parameters(found)),
        ("of these", ", ".join(_parts(found))),
        ("weights", _weights(facts, found)),
        ("layers", _layers(found)),
        ("attention", _attention(found)),
        ("MLP", _mlp(found)),
        ("vocabulary", _vocabulary(found)),
        ("context", _context(found)),
        ("cache", _cache(found)),
        ("LoRA", _lora(found)),
        ("licence", _licence(terms)),
    ):
        if value:
            say(f"{label:<11} {value}")


def _parameters(found: Architecture) -> str:
    said = f"{found.parameters:,}"
    if found.experts is None:
        return said
    return f"{said}, of which a token passes {text.count(found.active_parameters)}"


def _parts(found: Architecture) -> list[str]:
    by_size = sorted(found.by_part.items(), key=lambda item: -item[1])
    return [f"{part} {text.count(number)}" for part, number in by_size]


def _weights(facts: ModelFacts, found: Architecture) -> str:
    """Return the type in which the weights are stored, as the configuration says it."""
    config = facts.config or {}
    scheme = config.get("quantization_config")
    if isinstance(scheme, dict):
        method = text.one_line(str(scheme.get("quant_method", "an unknown method")), 40)
        return f"quantised by {method}: they cannot be trained in full"
    stored = str(config.get("dtype") or config.get("torch_dtype") or "")
    if stored not in _BYTES:
        return ""
    return f"{stored}, {text.size(found.parameters * _BYTES[stored])}"


def _layers(found: Architecture) -> str:
    beside = ", attention and MLP side by side" if found.parallel else ""
    kind = {"rms": "RMSNorm", "layer": "LayerNorm"}[found.norm]
    return f"{found.layers} of width {found.hidden_size:,}, {kind}{beside}"


def _attention(found: Architecture) -> str:
    said = f"{found.heads} heads of {found.head_dim}"
    if found.latent is not None:
        said += f", latent keys and values of {found.latent.kv_rank} numbers"
    elif found.kv_heads != found.heads:
        said += f", {found.kv_heads} for keys and values"
    if found.qk_norm:
        said += ", queries and keys normalised"
    return said


def _mlp(found: Architecture) -> str:
    gated = "gated " if found.gated else ""
    plain = f"{gated}{found.activation}, {found.intermediate_size:,} wide"
    experts = found.experts
    if experts is None:
        return plain
    shared = f", {experts.shared_size:,} wide for all beside them" if experts.shared_size else ""
    rest = found.layers - len(experts.layers)
    others = f"; {rest} layers without: {plain}" if rest else ""
    return (
        f"{experts.count} experts of {experts.size:,} in {len(experts.layers)} layers, "
        f"{experts.per_token} for a token{shared}{others}"
    )


def _vocabulary(found: Architecture) -> str:
    tied = "tied to the head" if found.tied else "the head has its own"
    return f"{found.vocab_size:,} tokens, {tied}"


def _context(found: Architecture) -> str:
    said = f"{found.max_positions:,} tokens" if found.max_positions else text.NOT_AVAILABLE
    if found.window is None:
        return said
    return (
        f"{said}; {len(found.windowed_layers)} of {found.layers} layers see the last "
        f"{found.window:,}"
    )


def _cache(found: Architecture) -> str:
    if found.kind == "encoder":
        return ""
    return f"{text.memory(found.kv_cache_bytes())} a token when it generates (16 bits)"


def _lora(found: Architecture) -> str:
    lora = _lora_counts(found)
    named = ", ".join(lora["default_targets"]) if lora["default_targets"] else "peft names none"
    parts = [
        f"{where} {text.count(number)}"
        for where, number in ((named, lora["default"]), ("all-linear", lora["all_linear"]))
        if number is not None
    ]
    return f"parameters at r {_RANK}: {'; '.join(parts)}"


def _lora_counts(found: Architecture) -> dict[str, Any]:
    from tui_ft.models.peft_targets import default_targets
    from tui_ft.models.trainable import lora_parameters

    targets = default_targets("LORA", found.model_type)
    return {
        "r": _RANK,
        "default_targets": targets,
        "default": lora_parameters(found, _RANK, targets) if targets else None,
        "all_linear": lora_parameters(found, _RANK, "all-linear"),
    }


def _licence(terms: Mapping[str, Any]) -> str:
    template = {
        True: "has a chat template",
        False: "a base model, without a chat template",
    }.get(terms["chat_template"])
    gated = "access has to be asked for" if terms["gated"] else None
    return ", ".join(part for part in (terms["licence"], gated, template) if part)


def _as_json(name: str, facts: ModelFacts, found: Architecture) -> dict[str, Any]:
    from dataclasses import asdict

    kept = (
        *("model_type", "family", "kind", "guessed", "hidden_size", "layers", "heads", "kv_heads"),
        *("head_dim", "intermediate_size", "vocab_size", "max_positions", "tied", "positions"),
        *("norm", "activation", "parallel", "qk_norm", "window"),
    )
    source = facts.entry.source if facts.entry and facts.where == "catalogue" else None
    said: dict[str, Any] = {"model": name, "where": facts.where, "note": facts.note}
    said["source"] = source
    said["adapter_of"] = facts.adapter.base if facts.adapter is not None else None
    said |= {field: getattr(found, field) for field in kept}
    said |= {
        "windowed_layers": list(found.windowed_layers),
        "gated_mlp": found.gated,
        "experts": None,
        "latent": asdict(found.latent) if found.latent is not None else None,
        "parameters": found.parameters,
        "by_part": found.by_part,
        "active_parameters": found.active_parameters,
        "kv_cache_bytes_per_token": found.kv_cache_bytes(),
        "lora": _lora_counts(found),
    }
    if found.experts is not None:
        said["experts"] = asdict(found.experts) | {"layers": list(found.experts.layers)}
    return said
