"""An adapter that is trained further: it is put on as a new one would be, and begins where it is.

Trainers treat a model that comes with an adapter in ways of their own (trl's of DPO leave out what
lies in a ParameterDict when they copy it for their reference, and round it to bfloat16 over a
quantised base). Here they make a new adapter of the same configuration, and afterwards its weights,
and those of the reference, are read from the file: what is trained, and in which types, is as with
a new one.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, Final

import torch
from peft import PeftConfig, load_peft_weights, set_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from trl.trainer.utils import hash_module

from tui_ft.hub.outputs import Adapter
from tui_ft.spec.methods import Method
from tui_ft.train.errors import RunFailure

REFERENCE: Final = "ref"
"""What trl calls the adapter that a loss compares with."""
_OWN: Final = "default"


def adapter_further(adapter: Adapter, method: Method) -> PeftConfig:
    """Return the configuration of an adapter that is trained further.

    Args:
        adapter: as it lies in its folder.
        method: the run's; its dropout counts.

    Raises:
        RunFailure: peft does not take the configuration.
    """
    try:
        config_class = PEFT_TYPE_TO_CONFIG_MAPPING[adapter.peft_type]
        config = config_class.from_pretrained(str(adapter.folder))
    except (KeyError, ValueError, TypeError) as error:
        raise RunFailure(f"peft does not take {adapter.name}: {error}") from None
    config.inference_mode = False
    if hasattr(config, "init_lora_weights"):
        config.init_lora_weights = True  # whatever it was, its weights are read from the file
    if hasattr(config, "lora_dropout"):
        config.lora_dropout = getattr(method, "lora_dropout", config.lora_dropout)
    return config


def begin_where_it_is(trainer: Any, adapter: Adapter, *, compares: bool) -> None:  # noqa: ANN401
    """Give the trainer's model the weights of ``adapter`` in place of those of a new one.

    A second time it reads them again: whoever changes their types in between has rounded them.

    Args:
        trainer: not prepared to train yet; its model has an adapter.
        adapter: of whose configuration its model has an adapter.
        compares: hold it a second time, frozen, as the model that the loss compares with.

    Raises:
        RunFailure: the weights are not those of such an adapter.
    """
    model = trainer.model
    weights = load_peft_weights(str(adapter.folder), device="cpu")
    if compares and REFERENCE not in model.peft_config:
        frozen = copy.deepcopy(model.peft_config[_OWN])
        for name, off in (("lora_dropout", 0.0), ("bias", "none")):  # biases are the base's own
            if hasattr(frozen, name):
                setattr(frozen, name, off)
        model.add_adapter(REFERENCE, frozen)
    _hold_as_its_own(model)
    for name in (_OWN, REFERENCE) if compares else (_OWN,):
        _read(model, weights, name, adapter)
    if getattr(trainer, "_precompute_model_hash", None) is not None:
        # By it trl finds again what the reference said: of another adapter it said other things.
        trainer._precompute_model_hash = hash_module(model)


def _hold_as_its_own(model: Any) -> None:  # noqa: ANN401
    """Hold the reference's weights in the types of those that are trained, or it would round."""
    own = {name: p.dtype for name, p in model.named_parameters() if _OWN in name.split(".")}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        if REFERENCE not in parts:
            continue
        parameter.requires_grad_(False)
        twin = ".".join(_OWN if part == REFERENCE else part for part in parts)
        parameter.data = parameter.data.to(own.get(twin, parameter.dtype))


def _read(model: Any, weights: dict[str, torch.Tensor], name: str, adapter: Adapter) -> None:  # noqa: ANN401
    try:
        found = set_peft_model_state_dict(model, dict(weights), adapter_name=name)
    except RuntimeError as error:  # of another size
        said = str(error).strip().splitlines()[-1].strip()
        raise RunFailure(_unfit(adapter, said), _ADVICE) from None
    lacking = [key for key in found.missing_keys if f".{name}" in key and _is_adapters(key, model)]
    if found.unexpected_keys or lacking:
        key = (list(found.unexpected_keys) or lacking)[0]
        what = "has no place in it" if found.unexpected_keys else "is not among its weights"
        raise RunFailure(_unfit(adapter, f"{key} {what}"), _ADVICE)


_ADVICE: Final = "name the adapter's own base in its adapter_config.json, or take another adapter"


def _is_adapters(key: str, model: Any) -> bool:  # noqa: ANN401
    prefix: str = getattr(model.base_model, "prefix", "") or "modules_to_save"
    return prefix in key or "modules_to_save" in key


def _unfit(adapter: Adapter, said: str) -> str:
    return f"the adapter {adapter.name} does not fit its base {adapter.base}: {said}"


@contextlib.contextmanager
def saved_alone(model: Any) -> Iterator[None]:  # noqa: ANN401 - peft is untyped here
    """While this lasts ``model`` saves its own adapter without the reference's."""
    if REFERENCE not in getattr(model, "peft_config", {}):
        yield
        return
    kept = model.peft_config
    model.peft_config = {name: one for name, one in kept.items() if name != REFERENCE}
    try:
        yield
    finally:
        model.peft_config = kept
