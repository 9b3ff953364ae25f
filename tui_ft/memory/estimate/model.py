"""A step's model as its moments need it: what it holds, by layer and as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from tui_ft.memory.estimate.adapters import Adapter, adapter_of
from tui_ft.memory.estimate.families import forward_of
from tui_ft.memory.estimate.layers import Forward
from tui_ft.memory.estimate.optimizer import states_of, step_takes
from tui_ft.memory.estimate.weights import Held, Weights
from tui_ft.memory.step import BYTES, Step
from tui_ft.models import Architecture, architecture_of


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that do not depend on the batch.

    Attributes:
        weights: of the base.
        constants: of its quantisation.
        adapters: all that stands beside the base.
        trained: of all that is trained; its gradients are as large.
        states: of the optimizer.
        step: that its step takes for a moment.
        by_kind: gradients of each kind of layer.
        once: gradients of what is there once.
        largest: weights of the largest layer.
        largest_trained: the largest tensor that is trained.
        trainable_parameters: how many values are trained.
    """

    weights: int
    constants: int
    adapters: int
    trained: int
    states: int
    step: int
    by_kind: dict[int, int]
    once: int
    largest: int
    largest_trained: int
    trainable_parameters: int


@dataclass(frozen=True, slots=True)
class Model:
    """A step's model.

    Attributes:
        step: the step.
        architecture: of the model.
        adapter: what is trained beside it; None when all weights are.
        weights: what is held, by layer.
        forward: the family's layer.
        kinds: for each layer, the number of a layer with the same modules.
        sizes: of all of it.
    """

    step: Step
    architecture: Architecture
    adapter: Adapter | None
    weights: Weights
    forward: Forward
    kinds: list[int]
    sizes: Sizes = field(repr=False)


def model_of(step: Step) -> Model:
    """Return a step's model.

    Raises:
        ArchitectureError: its configuration cannot be read.
        UnknownFamilyError: there is no formula for its layers.
        UnknownAdapterError: there is no formula for its adapter.
        AdapterError: the adapter does not fit it.
        ValueError: the optimizer is not known.
    """
    labels = {"reward": 1, "classification": step.num_labels}.get(step.objective)
    config, arguments = msgspec.json.encode(step.config), msgspec.json.encode(step.adapter)
    architecture, adapter = _read(config, arguments, labels)
    weights = Weights(step, architecture, adapter)
    kinds = weights.kinds_of_layers()
    sizes = _sizes(step, weights, kinds)
    return Model(step, architecture, adapter, weights, forward_of(architecture), kinds, sizes)


@lru_cache(maxsize=256)
def _read(
    config: bytes, arguments: bytes, labels: int | None
) -> tuple[Architecture, Adapter | None]:
    architecture = architecture_of(msgspec.json.decode(config), labels)
    return architecture, adapter_of(msgspec.json.decode(arguments), architecture)


def reward_models_of(step: Step) -> int:
    """Return the bytes of the models that score answers, whose configurations are known.

    Each has a head of one output, and the type of the arithmetic (`train/rewards/reward_model.py`).

    Raises:
        ArchitectureError: a configuration cannot be read.
    """
    width = BYTES[step.arithmetic or step.weights]
    return sum(
        architecture_of(config, 1).parameters * width
        for config in step.reward_configs
        if step.reward_model
    )


def value_head(step: Step, architecture: Architecture) -> int:
    """Return the parameters of the head that foretells what is still to be earned: PPO's."""
    return architecture.hidden_size + 1 if step.objective == "ppo" else 0


def _sizes(step: Step, weights: Weights, kinds: list[int]) -> Sizes:
    by_kind = {kind: list(weights.held(kind)) for kind in dict.fromkeys(kinds)}
    once = list(weights.held(None))
    groups = [(once, 1), *((found, kinds.count(kind)) for kind, found in by_kind.items())]
    everything = [
        replace(held, number=held.number * layers) for found, layers in groups for held in found
    ]
    trained = [held for held in everything if held.trained]
    sums = {"weights": 0, "constants": 0, "adapters": 0}
    for held in everything:
        sums[held.kind] += held.all_sizes
    return Sizes(
        **sums,
        trained=sum(held.all_sizes for held in trained),
        states=states_of(step.optim, trained),
        step=step_takes(step.optim, trained),
        by_kind={kind: _gradients(found) for kind, found in by_kind.items()},
        once=_gradients(once),
        largest_trained=max((held.size for held in trained), default=0),
        largest=max(sum(held.all_sizes for held in found) for found in by_kind.values()),
        trainable_parameters=value_head(step, weights.model)
        + sum(held.count * held.number for held in everything if held.trained or held.idle),
    )


def _gradients(found: list[Held]) -> int:
    return sum(held.all_sizes for held in found if held.trained)
