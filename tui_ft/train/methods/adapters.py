"""The adapter that a method means, as peft takes it: one builder for all methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from tui_ft.spec.bottleneck_places import stands_behind
from tui_ft.spec.heads import outside
from tui_ft.spec.methods import (
    BottleneckMethod,
    FreezeMethod,
    FullMethod,
    Method,
    PeftMethod,
    PromptTuningMethod,
)
from tui_ft.spec.norm_places import is_any_tuned, not_tuned
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.peft_configs import RESERVED
from tui_ft.train.errors import RunFailure
from tui_ft.train.methods.peft_signatures import refuse_unknown_arguments
from tui_ft.train.signature import checked_extra
from tui_ft.tuners import bottleneck

bottleneck.register()
Task = Literal["CAUSAL_LM", "SEQ_CLS"]
"""What the model does, by peft's names: generate text, or score it with a head of its own."""
_BEHIND_THE_LAYERS: Final = ("final_layer_norm", "project_out")
"""Modules beside the list of layers that follow it, though OPT makes them before."""
_FOR_EVERY_LAYER: Final = ("rel_embeddings", "LayerNorm", "conv", "relative_attention_bias")
"""Modules beside the list that every layer reads, though DeBERTa and MPNet make them after it."""


def adapter_config(
    method: Method,
    task: Task = "CAUSAL_LM",
    new_modules: Sequence[str] = (),
    tokenizer: str | None = None,
    heads: Sequence[str] = (),
) -> PeftConfig | None:
    """Return the peft configuration of ``method``; None where weights of the model are trained.

    Args:
        method: the run's.
        task: what the model does.
        new_modules: modules with random weights, which the base's checkpoint does not hold: they
            are trained and saved whole beside the adapter.
        tokenizer: the name or path of the tokenizer, for a prompt that is begun with a text.
        heads: modules that peft trains whole by itself.

    Raises:
        RunFailure: `method.extra` has an argument that the configuration does not take.
    """
    own_arguments = peft_arguments(method)
    if own_arguments is None or isinstance(method, FullMethod | FreezeMethod):
        return None
    if isinstance(method, PeftMethod):
        refuse_unknown_arguments(method)
    named = {name: value for name, value in own_arguments.items() if name != "peft_type"}
    arguments: dict[str, Any] = {"task_type": task, **named}
    config_class = PEFT_TYPE_TO_CONFIG_MAPPING[own_arguments["peft_type"]]
    takes = {field.name for field in dataclasses.fields(config_class)}
    # One that takes no modules to save would leave a new head as it is: peft refuses the argument.
    whole = outside(new_modules, heads) if "modules_to_save" in takes else new_modules
    if whole:
        arguments["modules_to_save"] = [*(named.get("modules_to_save") or ()), *whole]
    kept_out = sorted({*new_modules, *heads})
    if kept_out and "target_modules" in named and "exclude_modules" in takes:
        arguments["exclude_modules"] = [*(named.get("exclude_modules") or ()), *kept_out]
    if isinstance(method, PromptTuningMethod) and method.prompt_tuning_init_text:
        arguments |= {
            "prompt_tuning_init": "TEXT",
            "prompt_tuning_init_text": method.prompt_tuning_init_text,
            "tokenizer_name_or_path": tokenizer,
        }
    own = (*type(method).model_fields, *RESERVED)
    extra = getattr(method, "extra", {})
    checked = checked_extra("method", extra, config_class, arguments, own)
    try:
        return config_class(**checked)
    except (ValueError, TypeError) as error:
        raise RunFailure(f"peft does not take the method's arguments: {error}") from None


def keep_initial_adapter(model: Any, folder: Path) -> Path:  # noqa: ANN401 - peft is untyped here
    """Write the adapter of ``model`` as it begins; return where.

    PiSSA and OLoRA move a part of the base into the adapter. What was trained is the difference to
    that: with it the adapter can be saved as a plain LoRA of twice the rank, which belongs on the
    base as everybody has it.
    """
    config = model.peft_config[model.active_adapter]
    asked, config.init_lora_weights = config.init_lora_weights, True
    model.save_pretrained(str(folder))
    config.init_lora_weights = asked
    return folder


def refuse_missing_places(method: BottleneckMethod, model: torch.nn.Module) -> None:
    """Refuse bottleneck adapters that some of the model's layers would have no place for.

    Raises:
        RunFailure: a layer has no projection behind its attention or its MLP that is known here.
    """
    if method.target_modules:
        return
    path, blocks = _blocks(model)
    for number in range(len(blocks)):
        start = f"{path}.{number}."
        inside = [name for name, _ in model.named_modules() if name.startswith(start)]
        found = sum(stands_behind(method.placement, name) for name in inside)
        wanted = 2 if method.placement == "houlsby" else 1
        if found != wanted:
            raise RunFailure(
                f"{method.placement} puts {wanted} bottleneck adapters into a layer, and layer "
                f"{number} of this {type(model).__name__} has {found} places for them",
                "name the projections that they stand behind in method.target_modules",
                "a mixture of experts takes method.kind lora",
            )


def leave_out_weightless_norms(config: PeftConfig, model: torch.nn.Module) -> None:
    """Keep layer-norm tuning off modules that are called as norms are and have no weights.

    peft fails at one (`StopIteration`), and at a norm within a norm.

    Raises:
        RunFailure: no norm of the model has weights.
    """
    held = [(name, bool(list(one.parameters()))) for name, one in model.named_modules()]
    out = not_tuned(held)
    if out and not is_any_tuned(name for name, _ in held if name not in out):
        raise RunFailure(
            f"the norms of this {type(model).__name__} have no weights: layer-norm tuning has "
            "nothing to train",
            "take method.kind lora",
        )
    if out:
        asked: Any = config
        given = asked.exclude_modules or ()
        asked.exclude_modules = [*given, *out] if not isinstance(given, str) else given


def norms_of_checkpoint(config: PeftConfig, checkpoints: Path) -> None:
    """Let layer-norm tuning go on with the norms that the run's checkpoints hold.

    Earlier ones trained those alone that peft knows of the model's family: with others the
    optimizer's states would fit nothing.
    """
    for file in sorted(checkpoints.glob("checkpoint-*/adapter_config.json")):
        asked: Any = config
        asked.target_modules = type(config).from_pretrained(str(file.parent)).target_modules


def freeze_all_but_last(model: torch.nn.Module, layers: int) -> None:
    """Leave only the last ``layers`` of ``model`` to be trained, and what comes after them.

    The head of a model whose embeddings are tied to it stays frozen with them: training it would
    train every input as well.

    Raises:
        RunFailure: the model has an encoder and a decoder, no list of layers, fewer than that, or
            no table of embeddings.
    """
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise RunFailure(
            f"method.kind freeze knows the last layers of one stack, and {type(model).__name__} "
            "has an encoder and a decoder",
            "set method.kind to full or lora",
        )
    path, blocks = _blocks(model)
    if layers > len(blocks):
        raise RunFailure(
            f"method.num_trainable_layers is {layers}, and the model has {len(blocks)} layers",
            f"set it to {len(blocks)} or less",
        )
    frozen = tuple(f"{path}.{number}." for number in range(len(blocks) - layers))
    beside = path.rpartition(".")[0]
    behind = tuple(f"{beside}.{name}." for name in _BEHIND_THE_LAYERS)
    frozen += tuple(f"{beside}.{name}." for name in _FOR_EVERY_LAYER)
    embeddings = set(_embeddings(model).parameters())
    after = False
    for name, parameter in model.named_parameters():
        after = after or name.startswith(f"{path}.")
        follows = after or name.startswith(behind)
        trains = follows and not name.startswith(frozen) and parameter not in embeddings
        parameter.requires_grad_(trains)


def _embeddings(model: torch.nn.Module) -> torch.nn.Module:
    """Return the table of a model's embeddings.

    Raises:
        RunFailure: it has none: it reads characters (CANINE), or bytes (Perceiver).
    """
    try:
        found = model.get_input_embeddings()  # type: ignore[operator]
    except (NotImplementedError, AttributeError):
        found = None
    if not isinstance(found, torch.nn.Module):
        raise RunFailure(
            "method.kind freeze holds a model's embeddings, and "
            f"{type(model).__name__} has no table of them",
            "set method.kind to full or lora",
        )
    return found


def _blocks(model: torch.nn.Module) -> tuple[str, torch.nn.ModuleList]:
    """Return the list of modules that are the layers, and its path.

    It lies in no other list, as those of experts do, and is as long as the configuration says: a
    tower for images has layers too. They may be of several kinds (Jamba's are).

    Raises:
        RunFailure: there is none.
    """
    lists: list[tuple[str, torch.nn.ModuleList]] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in lists)
        if isinstance(module, torch.nn.ModuleList) and len(module) and not inside:
            lists.append((name, module))
    config = getattr(model, "config", None)
    count = getattr(config and config.get_text_config(), "num_hidden_layers", None)
    found = [one for one in lists if count in (None, len(one[1]))]
    if not found:
        said = "no list of layers" if count is None else f"no list of its {count} layers"
        shared = " (they may share their weights, as ALBERT's do)" if lists else ""
        raise RunFailure(f"the model has {said}{shared}", "set method.kind to full or lora")
    return max(found, key=lambda one: len(one[1]))
