"""A run that trains an earlier run's adapter further, on the same base: `model.adapter: continue`.

What kind of adapter it is, its rank and where it stands, is settled: it is read from the adapter,
and a run that says otherwise is told so. As peft's `PeftModel.from_pretrained(…,
is_trainable=True)`; the base is never written to, and may be quantised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from tui_ft.hub.outputs import (
    PROMPTS,
    Adapter,
    adapter_named,
    needs_its_quantised_base,
    why_not_usable,
)
from tui_ft.spec import RunSpec
from tui_ft.spec.combinations.table import impossible
from tui_ft.spec.methods import LoraMethod, Method, PeftMethod, QloraMethod, lora_init
from tui_ft.spec.objectives import ANSWERS_NOTHING
from tui_ft.spec.peft_configs import RESERVED, shipped

Refusal = tuple[str, str]
"""Why not, and what to do."""

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "LORA": ("lora", "qlora"),
    "IA3": ("ia3",),
    "LN_TUNING": ("ln_tuning",),
    "BOTTLENECK": ("bottleneck",),
}
"""peft's types -> the kinds of methods that train one further."""
_MERGE: Final = "set model.adapter to merge: the adapter becomes a part of its base first"
_OWN: Final = ("lora_dropout",)
"""What is no part of the adapter but of its training: a run may have its own."""
_NOT_READ: Final = ("kind", "extra", "init_lora_weights", "bits", "peft_type", "arguments")


def continues(spec: RunSpec) -> bool:
    """Tell whether a run asks for an adapter to be trained further."""
    return spec.model.adapter == "continue"


def continued(spec: RunSpec, environ: Mapping[str, str] = os.environ) -> Adapter | None:
    """Return the adapter that a run trains further, when it is on this machine; else None."""
    if not continues(spec):
        return None
    return adapter_named(spec.model.name_or_path, spec.model.revision, environ)


def as_continued(spec: RunSpec, adapter: Adapter | None = None) -> RunSpec:
    """Return ``spec`` with its method as the adapter has it, which it trains further.

    A run that trains none further, or whose method does not fit, comes back as it is.

    Args:
        spec: the run.
        adapter: what it begins with; looked up on this machine when None.
    """
    if not continues(spec):
        return spec
    adapter = adapter or continued(spec)
    if adapter is None or spec.method.kind not in kinds_of(adapter):
        return spec
    found = {**_said_by(adapter, spec.method), **_of_its_own(spec.method)}
    try:
        method = type(spec.method).model_validate({**spec.method.model_dump(), **found})
    except ValidationError:
        return spec  # told by `why_not_continued`
    return spec.model_copy(update={"method": method})


def kinds_of(adapter: Adapter) -> tuple[str, ...]:
    """Return the kinds of methods that can train an adapter further; none where none can."""
    if adapter.peft_type in _KINDS:
        return _KINDS[adapter.peft_type]
    return ("peft",) if adapter.peft_type in shipped() else ()


def why_not_continued(spec: RunSpec, adapter: Adapter) -> Refusal | None:
    """Return why a run cannot train ``adapter`` further; None if it can."""
    refused = why_not_usable(adapter)
    if refused is not None:
        return refused
    kinds = kinds_of(adapter)
    if not kinds:
        return _cannot(adapter)
    method = spec.method
    if method.kind not in kinds or (
        isinstance(method, PeftMethod) and method.peft_type != adapter.peft_type
    ):
        is_it = f"{method.kind} {getattr(method, 'peft_type', '')}".rstrip()
        other = f", with method.peft_type {adapter.peft_type}" if kinds == ("peft",) else ""
        return (
            f"method.kind is {is_it}, and the adapter {adapter.name} is {adapter.peft_type}: an "
            "adapter is trained further as what it is",
            f"set method.kind to {' or '.join(kinds)}{other}; or {_MERGE}",
        )
    if adapter.scores != (spec.objective.kind in ANSWERS_NOTHING):
        does = "scores texts with a head of its own" if adapter.scores else "generates text"
        return (
            f"the adapter {adapter.name} {does}, which the objective {spec.objective.kind} does "
            "not",
            _MERGE if not adapter.scores else "name a run of an objective that generates",
        )
    if method.kind == "lora" and needs_its_quantised_base(adapter):
        return (
            f"method.kind is lora, and the adapter {adapter.name} was begun with LoftQ: it makes "
            "up for what quantising took away, and belongs on the base in 4 bits",
            "set method.kind to qlora",
        )
    return next(_contradictions(spec.method, adapter), None) or _goes_with(spec, adapter)


def _goes_with(spec: RunSpec, adapter: Adapter) -> Refusal | None:
    """Return what of the adapter's own settings cannot go with the rest of the run."""
    known = impossible(spec)  # is told by itself
    added = (one for one in impossible(as_continued(spec, adapter)) if one not in known)
    return next(((f"with the adapter {adapter.name}: {one.reason}", _MERGE) for one in added), None)


def in_words(adapter: Adapter) -> str:
    """Return what is taken from an adapter that is trained further."""
    config = adapter.config
    named = {"r": "r", "lora_alpha": "lora_alpha", "target_modules": "on"}
    said = [f"{word} {_shown(config[key])}" for key, word in named.items() if config.get(key)]
    return f"{adapter.peft_type} {', '.join(said)}".rstrip()


def _cannot(adapter: Adapter) -> Refusal:
    if adapter.peft_type in PROMPTS:
        why = (
            "is learned tokens before every row, which peft loads to be used and not to be trained"
        )
        return f"the adapter {adapter.name} {why}", "begin with method.kind lora"
    if adapter.peft_type == "ADALORA":
        why = "is AdaLoRA, whose saved ranks are settled and could not be moved any more"
    else:
        why = f"is of the type {adapter.peft_type}, which is not trained further here"
    return f"the adapter {adapter.name} {why}", _MERGE


def _contradictions(method: Method, adapter: Adapter) -> Iterator[Refusal]:
    """Yield what a method says otherwise than the adapter; what it leaves as it is says nothing."""
    init = lora_init(method)
    if init != "default":
        yield (
            f"method.init_lora_weights is {init}, and the adapter {adapter.name} begins where it "
            "is",
            "leave method.init_lora_weights out",
        )
    found = _said_by(adapter, method)
    given = _given(method)
    for name, value in given.items():
        if name in found and _plain(value) != _plain(found[name]):
            key = f"method.{name}"
            yield (
                f"{key} is {_shown(value)}, and {_shown(found[name])} in the adapter "
                f"{adapter.name}, which is trained further as it is",
                f"leave {key} out, or set it to {_shown(found[name])}; or {_MERGE}",
            )
    arguments = method.arguments if isinstance(method, PeftMethod) else getattr(method, "extra", {})
    group = "method.arguments" if isinstance(method, PeftMethod) else "method.extra"
    for name, value in arguments.items():
        if _plain(value) != _plain(adapter.config.get(name)):
            is_there = _shown(adapter.config.get(name))
            yield (
                f"{group}.{name} is {_shown(value)}, and {is_there} in the adapter {adapter.name}, "
                "which is trained further as it is",
                f"leave {group}.{name} out; or {_MERGE}",
            )
    try:
        type(method).model_validate({**method.model_dump(), **found})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        yield (
            f"the adapter {adapter.name} has {key} {_shown(fault['input'])}: {fault['msg']}",
            _MERGE,
        )


def _given(method: Method) -> dict[str, Any]:
    """Return the fields of a method that are not as they are by default."""
    return {
        name: value
        for name, value in method.model_dump(exclude_defaults=True).items()
        if name not in (*_NOT_READ, *_OWN)
    }


def _of_its_own(method: Method) -> dict[str, Any]:
    given = method.model_dump(exclude_defaults=True)
    return {name: given[name] for name in _OWN if name in given}


def _said_by(adapter: Adapter, method: Method) -> dict[str, Any]:
    """Return the fields of a method as an adapter's configuration has them."""
    config = adapter.config
    if isinstance(method, PeftMethod):
        facts = shipped()[method.peft_type]
        arguments = {
            name: value
            for name, value in config.items()
            if name in facts and name not in RESERVED and value is not None
        }
        return {"arguments": arguments}
    found = {
        name: config[name]
        for name in type(method).model_fields
        if name not in _NOT_READ and config.get(name) is not None
    }
    if isinstance(found.get("target_modules"), str):  # a pattern, which no list says
        del found["target_modules"]
    if isinstance(method, LoraMethod | QloraMethod):
        found["init_lora_weights"] = "default"
    return found


def _plain(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list | tuple | set) else value


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
