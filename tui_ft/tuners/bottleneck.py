"""Bottleneck adapters for peft (Houlsby et al., arXiv:1902.00751; Pfeiffer et al., 2005.00247).

A small network with a narrow middle and a way around it, h + U f(D h), stands behind a sublayer of
each block: behind attention and MLP (Houlsby, section 2.1), or behind the MLP alone (Pfeiffer,
section 2.1.2). It takes the output of the sublayer's last projection, before the residual is added;
where a model drops out between the two (BERT), the adapter comes first.

Importing this module makes peft know them, so `peft.PeftModel.from_pretrained` loads what a run
has saved (`adapter_config.json`, `adapter_model.safetensors`). `load` does both:

    from tui_ft.tuners import bottleneck
    model = bottleneck.load(AutoModelForCausalLM.from_pretrained(base), "runs/…/adapter")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftConfig, PeftModel
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

PEFT_TYPE: Final = "BOTTLENECK"
_PREFIX: Final = "bottleneck_"
_SPREAD: Final = 1e-2
"""Of a truncated normal, which is near enough to identity (Houlsby, section 2.1)."""
_NON_LINEARITIES: Final[dict[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
    "silu": nn.functional.silu,
}


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]  # peft is untyped here
    """The configuration of bottleneck adapters.

    Attributes:
        target_modules: the projections that one stands behind: ends of their paths, or a pattern.
        exclude_modules: those of them that get none.
        bottleneck_size: width of the middle.
        non_linearity: f: gelu, relu or silu.
        modules_to_save: modules that are trained and saved whole.
        placement: what the targets were chosen by: houlsby or pfeiffer; for those who read it.
    """

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    bottleneck_size: int = 64
    non_linearity: str = "gelu"
    modules_to_save: list[str] | None = None
    placement: str | None = None

    def __post_init__(self) -> None:
        """Name the type; refuse what cannot be made."""
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        if not self.target_modules:
            raise ValueError("target_modules: the projections that an adapter stands behind")
        if self.non_linearity not in _NON_LINEARITIES:
            known = ", ".join(_NON_LINEARITIES)
            raise ValueError(f"non_linearity is {self.non_linearity}, and not one of {known}")
        if self.bottleneck_size < 1:
            raise ValueError(f"bottleneck_size is {self.bottleneck_size}, and not positive")


class BottleneckLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A projection with its adapters behind it."""

    adapter_layer_names = (f"{_PREFIX}down", f"{_PREFIX}up")
    base_layer: nn.Module
    bottleneck_down: nn.ModuleDict
    bottleneck_up: nn.ModuleDict
    # What peft brings along, which is untyped here.
    get_base_layer: Any
    set_adapter: Any
    _move_adapter_to_device_of_base_layer: Any
    _cast_input_dtype: Any
    active_adapters: Any

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self.non_linearities: dict[str, str] = {}
        self.cast_input_dtype_enabled = True
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Add an adapter that does next to nothing yet."""
        width, size = _outputs(self.get_base_layer()), config.bottleneck_size
        self.non_linearities[adapter_name] = config.non_linearity
        self.bottleneck_down[adapter_name] = _near_zero(nn.Linear(width, size))
        self.bottleneck_up[adapter_name] = _near_zero(nn.Linear(size, width))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return h + U f(D h) of the projection's output h: (…, outputs), of h's type."""
        hidden: torch.Tensor = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return hidden
        for name in self.active_adapters:
            if name not in self.bottleneck_down:
                continue
            down, up = self.bottleneck_down[name], self.bottleneck_up[name]
            narrow = down(self._cast_input_dtype(hidden, down.weight.dtype))
            change = up(_NON_LINEARITIES[self.non_linearities[name]](narrow))
            hidden = hidden + change.to(hidden.dtype)
        return hidden

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refuse: what stands behind a non-linearity is no part of a weight."""
        raise ValueError(
            "a bottleneck adapter cannot be merged into the model: it is not linear. Load it "
            "beside the model with tui_ft.tuners.bottleneck.load"
        )


class BottleneckModel(BaseTuner):  # type: ignore[misc]
    """Puts adapters behind the targets of a model."""

    prefix: str = _PREFIX
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: Final[dict[str, str]] = {}

    def _create_and_replace(
        self,
        config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        if isinstance(target, BottleneckLayer):
            target.update_layer(adapter_name, config)
            return
        behind = BottleneckLayer(target, adapter_name, config)
        if adapter_name not in self.active_adapters:
            behind.requires_grad_(False)
        self._replace_module(parent, target_name, behind, target)

    def merge_and_unload(self, *_: Any, **__: Any) -> nn.Module:
        """Refuse to merge: see `BottleneckLayer.merge`."""
        raise ValueError("a bottleneck adapter cannot be merged into the model: it is not linear")


def load(model: nn.Module, folder: str | Path, **arguments: Any) -> PeftModel:
    """Return ``model`` with the adapter that lies in ``folder``, to be used or trained on.

    Args:
        model: the base, as it was before training.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        arguments: passed to `peft.PeftModel.from_pretrained`, such as `is_trainable=True`.

    Raises:
        ValueError: the folder holds another kind of adapter, or none.
    """
    config = PeftConfig.from_pretrained(str(folder))
    if config.peft_type != PEFT_TYPE:
        raise ValueError(f"{folder} holds a {config.peft_type} adapter: peft loads it by itself")
    return PeftModel.from_pretrained(model, str(folder), **arguments)


def _outputs(layer: nn.Module) -> int:
    """Return how many outputs a projection has: torch's, GPT-2's (nf) and quantised ones."""
    found = getattr(layer, "out_features", getattr(layer, "nf", None))
    if not isinstance(found, int):
        raise ValueError(f"{type(layer).__name__} is no linear projection to stand behind")
    return found


def _near_zero(linear: nn.Linear) -> nn.Linear:
    nn.init.trunc_normal_(linear.weight, std=_SPREAD, a=-2 * _SPREAD, b=2 * _SPREAD)
    nn.init.zeros_(linear.bias)
    return linear


def register() -> None:
    """Make peft know bottleneck adapters; a second time does nothing.

    peft's own way asks for an entry in its enumeration of types, whose members are strings: a
    string does as well wherever it looks a type up.
    """
    PEFT_TYPE_TO_CONFIG_MAPPING.setdefault(PEFT_TYPE, BottleneckConfig)
    PEFT_TYPE_TO_TUNER_MAPPING.setdefault(PEFT_TYPE, BottleneckModel)
    PEFT_TYPE_TO_PREFIX_MAPPING.setdefault(PEFT_TYPE, _PREFIX)


register()
